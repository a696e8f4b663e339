"""The rows of a file as events, each with its place: CSV, JSON lines, Parquet, the retail log."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from stack.demo.online_retail import OnlineRetail, load
from stack.demo.retail_log import COLUMNS as RETAIL_COLUMNS
from stack.errors import StackError
from stack.replay.mapping import BadRow, ColumnMapping, Flaw, complete, fitted

CELL_CHARS_MAX = 1_000_000
PARQUET_ROWS = 1_000


class Format(StrEnum):
    """What a file is."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"
    ONLINE_RETAIL = "online-retail"


_BY_SUFFIX = {
    ".csv": Format.CSV,
    ".tsv": Format.CSV,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".parquet": Format.PARQUET,
    ".xlsx": Format.ONLINE_RETAIL,
}


@dataclass(frozen=True, slots=True)
class Record:
    """One row. `line` is where a person finds it (of text files the line, else the row), `share`
    how much of the file lies behind it (0 to 1). `event` is None where the row is none."""

    line: int
    share: float
    row: Any
    event: dict[str, Any] | None
    flaw: Flaw | None = None

    @property
    def type(self) -> str:
        return str((self.event or {}).get("type", ""))

    @property
    def person(self) -> str:
        """All of a file are sent one after the other, whoever they are about."""
        return ""

    def payload(self) -> dict[str, Any]:
        return self.event or {}


class Source(Protocol):
    """A file of events. `unit` is what its records are called."""

    @property
    def unit(self) -> str: ...
    def records(self) -> Iterator[Record]: ...
    def column_of(self, path: str) -> str: ...


def open_source(
    path: Path, kind: Format | None, mapping: ColumnMapping | None, delimiter: str
) -> Source:
    """The source of a file. Raises `StackError` when it cannot be read, or a mapping is missing."""
    if not path.is_file():
        raise StackError(f"There is no file {path}.", "Name one of CSV, JSON lines or Parquet.")
    kind = kind or _BY_SUFFIX.get(path.suffix.lower())
    if kind is None:
        raise StackError(f"{path.name} tells nothing of its format.", "Name it with --format.")
    if kind is Format.CSV:
        return CsvSource(path, mapping, "\t" if path.suffix == ".tsv" else delimiter)
    if kind is Format.JSONL:
        return JsonlSource(path, mapping)
    if kind is Format.PARQUET:
        names = _parquet_columns(path)
        if mapping is not None or set(names) != set(RETAIL_COLUMNS):
            return ParquetSource(path, fitted(mapping, names))
    if mapping is not None:
        raise StackError("The Online Retail log has a mapping of its own.", "Leave yours out.")
    return RetailSource(load(path))


class CsvSource:
    """A CSV file in UTF-8 whose first line names the columns. Empty cells are absent."""

    unit = "line"

    def __init__(self, path: Path, mapping: ColumnMapping | None, delimiter: str) -> None:
        self._path = path
        self._delimiter = delimiter
        self._read_bytes = 0
        self._size_bytes = max(1, path.stat().st_size)
        with path.open("rb") as file:
            self._header = self._heading(next(self._rows(file), (0, []))[1])
        self._mapping = fitted(mapping, self._header)

    def column_of(self, path: str) -> str:
        return self._mapping.column_of(path)

    def records(self) -> Iterator[Record]:
        self._read_bytes = 0
        with self._path.open("rb") as file:
            rows = self._rows(file)
            next(rows, None)
            for number, (line, cells) in enumerate(rows, 1):
                share = min(1.0, self._read_bytes / self._size_bytes)
                yield self._record(number, line, share, cells)

    def _record(self, number: int, line: int, share: float, cells: Sequence[str]) -> Record:
        row = dict(zip(self._header, cells, strict=False))
        if len(cells) != len(self._header):
            reason = f"has {len(cells)} cells, the heading {len(self._header)}"
            return Record(line, share, list(cells), None, Flaw("", "", reason))
        for column, cell in row.items():
            if not cell.isascii() and not _is_utf8(cell):
                readable = {name: _readable(one) for name, one in row.items()}
                return Record(line, share, readable, None, Flaw(column, "", "is not UTF-8"))
        return _mapped(self._mapping, line, share, row, number)

    def _rows(self, file: Any) -> Iterator[tuple[int, list[str]]]:
        """(line on which it begins, cells) of every row that is not blank."""
        csv.field_size_limit(CELL_CHARS_MAX)
        reader = csv.reader(self._lines(file), delimiter=self._delimiter, strict=True)
        begins = 1
        try:
            for cells in reader:
                if cells:
                    yield begins, cells
                begins = reader.line_num + 1
        except csv.Error as error:
            raise StackError(
                f"{self._path}, line {begins}: not CSV ({error}).",
                "Mend the file; what came before has been sent and is not sent again.",
            ) from None

    def _lines(self, file: Any) -> Iterator[str]:
        first = True
        for raw in file:
            self._read_bytes += len(raw)
            yield raw.decode("utf-8-sig" if first else "utf-8", errors="surrogateescape")
            first = False

    def _heading(self, cells: Sequence[str]) -> list[str]:
        names = [cell.strip() for cell in cells]
        twice = sorted({name for name in names if names.count(name) > 1})
        if not names or twice:
            what = f"names {', '.join(twice)} twice" if names else "is empty"
            raise StackError(f"The first line of {self._path.name} {what}.", "Mend the heading.")
        return names


class JsonlSource:
    """A JSON object a line: an event as the API takes it, or anything with a mapping."""

    unit = "line"

    def __init__(self, path: Path, mapping: ColumnMapping | None) -> None:
        if mapping is not None and not mapping.columns:
            raise StackError("The mapping has no columns.", "Map them with --map COLUMN=PATH.")
        self._path = path
        self._mapping = mapping
        self._size_bytes = max(1, path.stat().st_size)

    def column_of(self, path: str) -> str:
        return self._mapping.column_of(path) if self._mapping is not None else path

    def records(self) -> Iterator[Record]:
        read_bytes = 0
        with self._path.open("rb") as file:
            for line, raw in enumerate(file, 1):
                read_bytes += len(raw)
                if raw.strip():
                    yield self._record(line, min(1.0, read_bytes / self._size_bytes), raw)

    def _record(self, line: int, share: float, raw: bytes) -> Record:
        try:
            row = json.loads(raw)
        except UnicodeDecodeError:
            return self._bad(line, share, raw, "is not UTF-8")
        except (ValueError, RecursionError) as error:
            return self._bad(line, share, raw, f"is not JSON: {error}")
        if not isinstance(row, dict):
            return self._bad(line, share, raw, "is not a JSON object")
        if self._mapping is not None:
            return _mapped(self._mapping, line, share, row, line)
        try:
            return Record(line, share, row, complete(dict(row), row, line))
        except BadRow as bad:
            return Record(line, share, row, None, bad.flaw)

    def _bad(self, line: int, share: float, raw: bytes, reason: str) -> Record:
        return Record(line, share, raw.decode(errors="replace").strip(), None, Flaw("", "", reason))


class ParquetSource:
    """A Parquet file with a mapping."""

    unit = "row"

    def __init__(self, path: Path, mapping: ColumnMapping) -> None:
        self._path = path
        self._mapping = mapping

    def column_of(self, path: str) -> str:
        return self._mapping.column_of(path)

    def records(self) -> Iterator[Record]:
        import pyarrow.parquet

        number = 0
        with pyarrow.parquet.ParquetFile(self._path) as file:
            count = max(1, file.metadata.num_rows)
            for batch in file.iter_batches(batch_size=PARQUET_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield _mapped(self._mapping, number, number / count, row, number)


class RetailSource:
    """The UCI Online Retail log: an event an invoice, as the demo reads it."""

    unit = "invoice"

    def __init__(self, history: OnlineRetail) -> None:
        self._history = history

    def column_of(self, path: str) -> str:
        return path

    def records(self) -> Iterator[Record]:
        count = max(1, len(self._history.invoices))
        for number, happening in enumerate(self._history.happenings(), 1):
            event = happening.payload()
            yield Record(number, min(1.0, number / count), event, event)


def _mapped(
    mapping: ColumnMapping, line: int, share: float, row: Mapping[str, Any], number: int
) -> Record:
    try:
        return Record(line, share, row, mapping.event(row, number))
    except BadRow as bad:
        return Record(line, share, row, None, bad.flaw)


def _parquet_columns(path: Path) -> list[str]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            return list(file.schema_arrow.names)
    except (pyarrow.ArrowException, OSError) as error:
        raise StackError(f"{path} is no Parquet file: {error}.", "Name another.") from None


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _readable(text: str) -> str:
    return text.encode(errors="surrogateescape").decode(errors="replace")
