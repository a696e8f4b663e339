"""`tenure migrate`, as a deployment runs it once before its services."""

import json
import os
import subprocess
import sys
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient

from shared.events.topics import TOPICS
from stack.backing import Kafka


def migrate(database_url: str, bootstrap: str, folder: Path) -> str:
    """The command's last line."""
    done = subprocess.run(
        [sys.executable, "-m", "stack.cli", "migrate"],
        env={
            **os.environ,
            "TENURE_DATABASE_URL": database_url,
            "TENURE_KAFKA": bootstrap,
            "TENURE_DATA_DIR": str(folder),
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-1_000:]
    return done.stdout.strip()


async def test_migrate_prepares_topics_schemas_and_keys_and_does_it_once(
    database_url: str, kafka: Kafka, tmp_path: Path
) -> None:
    assert "6 services" in migrate(database_url, kafka.bootstrap, tmp_path)
    keys = (tmp_path / "keys.json").read_text()
    assert set(json.loads(keys)) == {"admin", "ingest", "read"}
    assert (tmp_path / "keys.json").stat().st_mode & 0o077 == 0

    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    assert {topic.name for topic in TOPICS} <= set(await admin.list_topics())
    await admin.close()

    migrate(database_url, kafka.bootstrap, tmp_path)
    assert (tmp_path / "keys.json").read_text() == keys
