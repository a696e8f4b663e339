"""Where the stack that runs on a data directory can be reached, for the other commands."""

import fcntl
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from stack.errors import StackError
from stack.settings import StackSettings

FILE_NAME = "addresses.json"
LOCK_NAME = "lock"


@dataclass(frozen=True, slots=True)
class Addresses:
    """The database (with its password, hence mode 0600), the broker, and the door."""

    database_url: str
    kafka: str
    clock: str = "wall"
    ingest_url: str = ""


def write_private(path: Path, value: object) -> None:
    """JSON that only its owner may read, replaced whole."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(json.dumps(value, indent=2) + "\n")
    new.replace(path)


def note(data_dir: Path, where: Addresses) -> None:
    """Leave word for other commands."""
    write_private(data_dir / FILE_NAME, asdict(where))


def forget(data_dir: Path) -> None:
    """The stack is gone: its ports may soon be another's."""
    (data_dir / FILE_NAME).unlink(missing_ok=True)


def hold(lock: IO[str]) -> bool:
    """Take a data directory's lock if it is free; the kernel lets go when its holder ends."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _was_left(data_dir: Path) -> bool:
    """Whether the note is of a stack that ended without forgetting it."""
    path = data_dir / LOCK_NAME
    if not path.exists():
        return False
    with path.open() as lock:
        return hold(lock)


def noted(data_dir: Path) -> dict[str, str]:
    """What the stack that runs on a data directory left word of; nothing where none runs."""
    path = data_dir / FILE_NAME
    if not path.exists() or _was_left(data_dir):
        return {}
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise StackError(
            f"{path} cannot be read ({type(error).__name__}).", "`tenure up` writes it anew."
        ) from error


def addresses(data_dir: Path) -> Addresses:
    """By environment first, else what `tenure up` noted in the data directory."""
    settings = StackSettings()
    known = noted(data_dir)
    database_url = settings.database_url or known.get("database_url")
    kafka = settings.kafka or known.get("kafka")
    if not database_url or not kafka:
        raise StackError(
            f"No stack runs in {data_dir}.",
            "Start one with `tenure up`, name its --data-dir, or set TENURE_DATABASE_URL and "
            "TENURE_KAFKA.",
        )
    return Addresses(database_url, kafka, known.get("clock", "wall"), known.get("ingest_url", ""))
