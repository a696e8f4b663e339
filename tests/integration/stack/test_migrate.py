"""`tenure migrate`, as a deployment runs it once before its services."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient

from shared.events.topics import TOPICS
from stack.backing import Kafka
from tests.fixtures.backing import run_sql

SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema|public)'"


def run(database_url: str, bootstrap: str, folder: Path, **more: str) -> tuple[int, str]:
    """The command's exit code and all it said."""
    done = subprocess.run(
        [sys.executable, "-m", "stack.cli", "migrate"],
        env={
            **os.environ,
            "TENURE_DATABASE_URL": database_url,
            "TENURE_KAFKA": bootstrap,
            "TENURE_DATA_DIR": str(folder),
            **more,
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).strip()


def migrate(database_url: str, bootstrap: str, folder: Path, **more: str) -> str:
    code, said = run(database_url, bootstrap, folder, **more)
    assert code == 0, said[-1_000:]
    return said


async def schemas(database_url: str) -> set[str]:
    connection = await asyncpg.connect(database_url)
    try:
        return {row[0] for row in await connection.fetch(SCHEMAS)}
    finally:
        await connection.close()


async def test_migrate_prepares_topics_schemas_and_keys_and_does_it_once(
    make_database: Callable[..., str], kafka: Kafka, tmp_path: Path
) -> None:
    shared, own = make_database(), make_database()
    where = {"LOYALTY_DATABASE_URL": own}
    assert "6 services" in migrate(shared, kafka.bootstrap, tmp_path, **where)
    assert await schemas(own) == {"loyalty"}
    assert await schemas(shared) == {"ingest", "scoring", "campaigns", "webhooks", "insights"}
    keys = (tmp_path / "keys.json").read_text()
    assert set(json.loads(keys)) == {"admin", "ingest", "read"}
    assert (tmp_path / "keys.json").stat().st_mode & 0o077 == 0

    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    assert {topic.name for topic in TOPICS} <= set(await admin.list_topics())
    await admin.close()

    assert "keys.json" not in migrate(shared, kafka.bootstrap, tmp_path, **where)
    assert (tmp_path / "keys.json").read_text() == keys


async def test_keys_that_the_database_never_had_are_made_anew_and_said(
    database_url: str, kafka: Kafka, tmp_path: Path
) -> None:
    path = tmp_path / "keys.json"
    before = json.dumps({scope: f"tn_{scope}_{'s' * 43}" for scope in ("admin", "ingest", "read")})
    path.write_text(before)
    said = migrate(database_url, kafka.bootstrap, tmp_path)
    assert f"this database never had the keys in {path} (admin, ingest, read)" in said
    after = json.loads(path.read_text())
    assert not set(after.values()) & set(json.loads(before).values())
    assert (tmp_path / "keys.json.old").read_text() == before

    # Taken away on purpose, a key stays taken away: nobody is let in again by a restart.
    run_sql(database_url, "UPDATE ingest.keys SET revoked_at = now()")
    assert "keys.json" not in migrate(database_url, kafka.bootstrap, tmp_path)
    assert json.loads(path.read_text()) == after


async def test_a_schema_of_a_later_release_is_one_line(
    database_url: str, kafka: Kafka, tmp_path: Path
) -> None:
    run_sql(
        database_url,
        "CREATE SCHEMA ingest",
        "CREATE TABLE ingest.runtime_version (version_num varchar(32) PRIMARY KEY)",
        "INSERT INTO ingest.runtime_version VALUES ('9999_later')",
    )
    code, said = run(database_url, kafka.bootstrap, tmp_path)
    assert code == 1
    assert said.startswith("tenure: The schema of ingest could not be brought up to date: ")
    assert "is not of this release" in said
    assert "\n" not in said


async def test_a_database_without_rights_is_one_line(
    database_url: str, kafka: Kafka, tmp_path: Path
) -> None:
    role = f"visitor_{os.getpid()}"
    run_sql(database_url, f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
    try:
        parts = urlsplit(database_url)
        netloc = f"{role}:x@{parts.hostname}:{parts.port}"
        code, said = run(urlunsplit(parts._replace(netloc=netloc)), kafka.bootstrap, tmp_path)
    finally:
        run_sql(database_url, f"DROP ROLE {role}")
    assert code == 1
    assert "permission denied for database" in said
    assert "\n" not in said
