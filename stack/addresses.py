"""Where a stack that runs (or ran) on a data directory can be reached, for the other commands."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from stack.errors import StackError
from stack.settings import StackSettings

FILE_NAME = "addresses.json"


@dataclass(frozen=True, slots=True)
class Addresses:
    """The database (with its password, hence mode 0600) and the broker."""

    database_url: str
    kafka: str
    clock: str = "wall"


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


def _noted(path: Path) -> dict[str, str]:
    try:
        noted = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise StackError(
            f"{path} cannot be read ({type(error).__name__}).", "`tenure up` writes it anew."
        ) from error
    return dict(noted)


def addresses(data_dir: Path) -> Addresses:
    """By environment first, else what `tenure up` noted in the data directory."""
    settings = StackSettings()
    path = data_dir / FILE_NAME
    noted = _noted(path) if path.exists() else {}
    database_url = settings.database_url or noted.get("database_url")
    kafka = settings.kafka or noted.get("kafka")
    if not database_url or not kafka:
        raise StackError(
            f"No stack is known in {data_dir}.",
            "Start one with `tenure up`, name its --data-dir, or set TENURE_DATABASE_URL and "
            "TENURE_KAFKA.",
        )
    return Addresses(database_url, kafka, noted.get("clock", "wall"))
