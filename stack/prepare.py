"""What has to be there before services start: topics, schemas, first keys; and `serve` itself.

The one place where the launcher calls into the runtime and into the services. Services read their
addresses from the environment, so this runs in a process of its own (`python -m stack.prepare`)
that is given the right one; the launcher itself stays small.
"""

import asyncio
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from stack.addresses import Addresses, addresses, write_private
from stack.errors import StackError

KEYS_FILE = "keys.json"
FIRST_SCOPES = ("admin", "ingest", "read")
SCOPES = ("ingest", "read", "operate", "admin")
ROLES = frozenset({"api", "consumer", "jobs"})
TOPICS_SECONDS = 60.0
PREPARE_SECONDS = 300.0


def prepare(environment: Mapping[str, str], data_dir: Path) -> dict[str, str]:
    """Topics, schemas and keys, each step only where something is missing; answers the keys."""
    done = subprocess.run(
        [sys.executable, "-m", "stack.prepare", str(data_dir)],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PREPARE_SECONDS,
        start_new_session=True,
    )
    log_path = data_dir / "logs" / "prepare.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    log_path.write_text(done.stdout + done.stderr)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it did not say why"]
        raise StackError(f"Preparing failed: {lines[-1]}", f"See {log_path}.")
    return read_keys(data_dir)


def read_keys(data_dir: Path) -> dict[str, str]:
    """The first keys of a prepared data directory, by scope."""
    return cast(dict[str, str], json.loads((data_dir / KEYS_FILE).read_text()))


def use(where: Addresses) -> None:
    """Let what runs in this process meet this stack."""
    os.environ["TENURE_DATABASE_URL"] = where.database_url
    os.environ["TENURE_KAFKA"] = where.kafka
    os.environ["TENURE_CLOCK"] = where.clock


def ensure_topics(where: Addresses) -> None:
    """Create the catalogue's topics and wait until every partition has a leader."""
    from shared.events.topics import TOPICS
    from shared.runtime.kafka import KafkaLog
    from shared.runtime.log import LogUnavailable
    from shared.runtime.settings import RuntimeSettings

    async def ensure() -> None:
        async with asyncio.timeout(TOPICS_SECONDS):
            await KafkaLog(RuntimeSettings(kafka=where.kafka)).ensure_topics(TOPICS)

    try:
        asyncio.run(ensure())
    except (LogUnavailable, TimeoutError) as error:
        raise StackError(
            f"Kafka at {where.kafka} does not answer: {str(error) or 'no answer in time'}.",
            "Check the address, or unset TENURE_KAFKA to use the embedded one.",
        ) from error
    except ValueError as error:
        raise StackError(f"{error}.", "Set the number of partitions to the catalogue's.") from error


def migrate_all(where: Addresses) -> int:
    """Bring every service's schema up to date; answers how many."""
    import asyncpg

    from shared.events.topics import SERVICES
    from shared.runtime.migrate import migrate

    use(where)
    for name in SERVICES:
        service = service_main(name).build()
        try:
            asyncio.run(migrate(where.database_url, name, service.migrations))
        except (OSError, asyncpg.PostgresError) as error:
            raise StackError(
                f"The schema of {name} could not be brought up to date: {error}.",
                "Check the database's address and rights.",
            ) from error
    return len(SERVICES)


def create_key(scope: str, where: Addresses, label: str = "made on the command line") -> str:
    """A new key of one scope: shown once, stored hashed by ingest, announced by its outbox."""
    if scope not in SCOPES:
        raise StackError(f"There is no scope {scope}.", f"Choose among {', '.join(SCOPES)}.")
    import asyncpg

    use(where)
    try:
        return cast(str, asyncio.run(service_main("ingest").issue_key((scope,), label)))
    except (OSError, asyncpg.PostgresError) as error:
        raise StackError(
            f"The key could not be stored: {str(error).splitlines()[0]}.",
            "Is `tenure up` running, and was `tenure migrate` run?",
        ) from error


def first_keys(where: Addresses, data_dir: Path) -> None:
    """`keys.json`, made once; it is the only place where these keys stand in the clear."""
    path = data_dir / KEYS_FILE
    if not path.exists():
        keys = {scope: create_key(scope, where, f"first {scope} key") for scope in FIRST_SCOPES}
        write_private(path, keys)


def service_main(name: str) -> Any:
    """The composition root of a service, imported by name."""
    from shared.events.topics import SERVICES

    if name not in SERVICES:
        raise StackError(f"There is no service {name}.", f"Choose among {', '.join(SERVICES)}.")
    return importlib.import_module(f"services.{name}.main")


def serve_service(name: str, roles: frozenset[str], port: int, replica: str) -> int:
    """Run one service here until it is told to stop; answers the exit code."""
    from shared.runtime.app import run

    if not roles or roles - ROLES:
        named = ",".join(sorted(roles - ROLES)) or "nothing"
        raise StackError(f"{named} is no role.", f"Choose among {', '.join(sorted(ROLES))}.")
    return int(run(service_main(name).build, roles=roles, port=port, replica=replica))


def main() -> int:
    """Everything, for the stack that the environment names."""
    data_dir = Path(sys.argv[1])
    try:
        where = addresses(data_dir)
        ensure_topics(where)
        migrate_all(where)
        first_keys(where, data_dir)
    except StackError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
