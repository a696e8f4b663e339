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
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from stack.addresses import Addresses, addresses, noted, write_private
from stack.child import describe
from stack.errors import StackError
from stack.failures import during, explained, first_line

KEYS_FILE = "keys.json"
FIRST_SCOPES = ("admin", "ingest", "read")
SCOPES = ("ingest", "read", "operate", "admin")
ROLES = frozenset({"api", "consumer", "jobs"})
TOPICS_SECONDS = 60.0
PREPARE_SECONDS = 300.0
# Begins the line, on standard error, that is for a person.
TOLD = "tenure: "

Report = Callable[[str], None]


def prepare(environment: Mapping[str, str], data_dir: Path, report: Report) -> dict[str, str]:
    """Topics, schemas and keys, each step only where something is missing; answers the keys."""
    log_path = data_dir / "logs" / "prepare.log"
    with during("Preparing failed"):
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
        log_path.parent.mkdir(parents=True, exist_ok=True)
        log_path.write_text(done.stdout + done.stderr)
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if line.startswith(TOLD)]
        why = told[-1].removeprefix(TOLD) if told else f"it ended with {describe(done.returncode)}."
        raise StackError(f"Preparing failed: {why}", f"See {log_path}.")
    for line in done.stdout.splitlines():
        report(line)
    return read_keys(data_dir)


def read_keys(data_dir: Path) -> dict[str, str]:
    """The first keys of a prepared data directory, by scope; none where there is no file."""
    path = data_dir / KEYS_FILE
    try:
        return dict(json.loads(path.read_text())) if path.exists() else {}
    except (OSError, ValueError, TypeError) as error:
        raise StackError(
            f"{path} cannot be read ({first_line(error)}).", "Move it away: keys are made anew."
        ) from error


def use(where: Addresses) -> None:
    """Let what runs in this process meet this stack."""
    os.environ["TENURE_DATABASE_URL"] = where.database_url
    os.environ["TENURE_KAFKA"] = where.kafka
    os.environ["TENURE_CLOCK"] = where.clock


def join(data_dir: Path) -> None:
    """Let a service in this process meet the stack of a data directory, unless addresses are set.

    In a deployment the environment names everything, and no stack is noted here.
    """
    os.environ["TENURE_DATA_DIR"] = str(data_dir.resolve())
    if not {"TENURE_DATABASE_URL", "TENURE_KAFKA"} <= os.environ.keys():
        for name, value in noted(data_dir).items():
            os.environ.setdefault(f"TENURE_{name.upper()}", value)


def ensure_topics(where: Addresses) -> None:
    """Create the catalogue's topics and wait until every partition has a leader."""
    from shared.events.topics import TOPICS
    from shared.runtime.kafka import KafkaLog
    from shared.runtime.settings import RuntimeSettings

    async def ensure() -> None:
        async with asyncio.timeout(TOPICS_SECONDS):
            await KafkaLog(RuntimeSettings(kafka=where.kafka)).ensure_topics(TOPICS)

    with during(f"Topics at {where.kafka}"):
        asyncio.run(ensure())


def migrate_all(where: Addresses) -> int:
    """Bring every service's schema up to date, each in its own database; answers how many."""
    from shared.events.topics import SERVICES
    from shared.runtime.migrate import migrate

    use(where)
    for name in SERVICES:
        with during(f"The schema of {name} could not be brought up to date"):
            service = service_main(name).build()
            asyncio.run(migrate(service.settings.database_url, name, service.migrations))
    return len(SERVICES)


def create_key(scope: str, where: Addresses, label: str = "made on the command line") -> str:
    """A new key of one scope: shown once, stored hashed by ingest, announced by its outbox."""
    if scope not in SCOPES:
        raise StackError(f"There is no scope {scope}.", f"Choose among {', '.join(SCOPES)}.")
    use(where)
    with during("The key could not be stored"):
        return cast(str, asyncio.run(service_main("ingest").issue_key((scope,), label)))


def first_keys(where: Addresses, data_dir: Path) -> str | None:
    """`keys.json`, the only place where these keys stand in the clear; a line when it was wrong.

    Keys belong to a database. Those that ours never had (it is another one, or was emptied) would
    be refused everywhere, so they are made anew; a key that was revoked on purpose stays as it is.
    """
    use(where)
    kept = read_keys(data_dir)
    path = data_dir / KEYS_FILE
    ingest = service_main("ingest")
    with during("The first keys could not be made"):
        known = asyncio.run(ingest.known_keys(list(kept.values()))) if kept else frozenset()
        missing = [scope for scope in FIRST_SCOPES if kept.get(scope) not in known]
        if not missing:
            return None
        # None of the database's own: whoever comes first makes all three at once.
        made = asyncio.run(ingest.issue_first_keys()) or {
            scope: create_key(scope, where, f"first {scope} key") for scope in missing
        }
        if kept:
            path.replace(path.with_name(f"{KEYS_FILE}.old"))
        write_private(path, {**kept, **made})
    if not kept:
        return None
    return f"this database never had the keys in {path} ({', '.join(missing)}): they are new now"


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
    """Everything, for the stack that the environment names; the last line says what failed."""
    data_dir = Path(sys.argv[1])
    try:
        where = addresses(data_dir)
        ensure_topics(where)
        migrate_all(where)
        line = first_keys(where, data_dir)
    except Exception as error:
        told = explained(error)
        if told is None:
            traceback.print_exc()
        sys.stderr.write(f"{TOLD}{told or f'{type(error).__name__}: {first_line(error)}.'}\n")
        return 1
    if line is not None:
        sys.stdout.write(f"{line}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
