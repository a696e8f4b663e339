"""How far a replay has come, kept beside the data, so that whatever ended it, the next goes on.

The note is written after the answers of what it counts. A replay that dies in between sends those
rows once more, with the same ids, and ingest, which knows them for weeks, counts them once.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from stack.addresses import write_private
from stack.errors import StackError
from stack.replay.mapping import Flaw
from stack.replay.records import Record

FOLDER = "replays"
# Ingest forgets the ids of events then, and the business keys of orders, refunds and tickets never.
REMEMBERED = (
    "What ingest got within its INBOX_RETENTION_DAYS (30) counts once, orders, refunds and "
    "tickets always; other older events count again."
)
_BLOCK_BYTES = 1 << 20


@dataclass(slots=True)
class Progress:
    """What is behind us. `records` have their answers; `rejected_bytes` of the file of rejected
    rows belong to them."""

    file: str
    records: int = 0
    accepted: int = 0
    rejected: int = 0
    by_type: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    rejected_bytes: int = 0
    finished: bool = False


@dataclass(slots=True)
class Journal:
    """The note of one file, mapping and destination, and the file of its rejected rows."""

    note_path: Path
    rejected_path: Path
    progress: Progress

    @classmethod
    def opened(cls, data_dir: Path, path: Path, what: Mapping[str, Any], *, anew: bool) -> Self:
        """Where the last replay of the same file with the same `what` left off, or the beginning.

        Rejected rows that were written and not noted are written again, so they are cut off.
        """
        folder = data_dir / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        name = digest_of(path, what)
        note_path, rejected_path = folder / f"{name}.json", folder / f"{name}.rejected.jsonl"
        progress = Progress(path.name) if anew else _noted(note_path, path)
        if progress.rejected_bytes == 0:
            rejected_path.unlink(missing_ok=True)
        elif rejected_path.exists():
            with rejected_path.open("r+b") as file:
                file.truncate(progress.rejected_bytes)
        return cls(note_path, rejected_path, progress)

    def reject(self, rejected: Iterable[tuple[Record, Flaw]]) -> None:
        """Keeps rows that were not taken, one JSON object a line. They may name people, so the file
        is its owner's."""
        rows: dict[int, dict[str, Any]] = {}
        for record, flaw in rejected:
            row = rows.setdefault(
                record.line, {"line": record.line, "flaws": [], "row": record.row}
            )
            row["flaws"].append(flaw._asdict())
        if not rows:
            return
        lines = [json.dumps(row, default=str).encode() for row in rows.values()]
        self.rejected_path.touch(mode=0o600)
        with self.rejected_path.open("ab") as file:
            file.write(b"\n".join((*lines, b"")))
            self.progress.rejected_bytes = file.tell()

    def save(self) -> None:
        """Everything up to here has its answer."""
        noted = {one.name: getattr(self.progress, one.name) for one in fields(self.progress)}
        write_private(self.note_path, noted)


def digest_of(path: Path, what: Mapping[str, Any]) -> str:
    """A name for the file's content together with `what` is done with it."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps(what, sort_keys=True, default=str).encode())
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _noted(note_path: Path, path: Path) -> Progress:
    if not note_path.exists():
        return Progress(path.name)
    try:
        noted = json.loads(note_path.read_text())
        for counted in ("by_type", "reasons"):
            noted[counted] = Counter(noted[counted])
        return Progress(**noted)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StackError(
            f"{note_path} cannot be read ({type(error).__name__}).",
            f"Use --restart: all is sent again. {REMEMBERED}",
        ) from error
