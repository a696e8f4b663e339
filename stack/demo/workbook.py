"""Reads the rows of an Excel workbook's first sheet (Office Open XML), as UCI ships the log.

Only what a table of values needs: shared and inline strings, numbers. Documents that declare
entities are refused, so that none can grow while it is read.
"""

import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from xml.parsers import expat

CHUNK_BYTES = 1 << 20
UNPACKED_BYTES_MAX = 1_000_000_000
SHEET = "xl/worksheets/sheet1.xml"
STRINGS = "xl/sharedStrings.xml"
# Day 0 of the 1900 date system, two days early as Excel counts 29 February 1900.
EPOCH = datetime.fromisoformat("1899-12-30")

Cell = str | float | None


class WorkbookError(ValueError):
    """Not a workbook that can be read; the message says why."""


def instant_of(serial: float) -> datetime:
    """A date cell to the minute, without a zone. `serial` counts days since 1899-12-30."""
    return EPOCH + timedelta(minutes=round(serial * 24 * 60))


def rows_of(path: Path, unpacked_bytes_max: int = UNPACKED_BYTES_MAX) -> Iterator[list[Cell]]:
    """Rows as lists by column, missing cells as None. Raises `WorkbookError`."""
    try:
        with zipfile.ZipFile(path) as archive:
            _require_modest(archive, unpacked_bytes_max)
            names = set(archive.namelist())
            if SHEET not in names:
                raise WorkbookError(f"{path.name} has no {SHEET}: it is no workbook")
            strings = list(_Strings().read(archive, STRINGS)) if STRINGS in names else []
            yield from _Rows(strings).read(archive, SHEET)
    except (zipfile.BadZipFile, expat.ExpatError, EOFError, IndexError) as error:
        raise WorkbookError(f"{path.name} is damaged: {error}") from error


def _require_modest(archive: zipfile.ZipFile, bytes_max: int) -> None:
    unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > bytes_max:
        raise WorkbookError(f"it would unpack to {unpacked:,} bytes; {bytes_max:,} at most")


class _Reader(ABC):
    """Feeds one member to expat and hands out what is complete."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parts: list[str] = []
        self.ready: list[Any] = []

    def read(self, archive: zipfile.ZipFile, name: str) -> Iterator[Any]:
        with archive.open(name) as member:
            while chunk := member.read(CHUNK_BYTES):
                self.parser.Parse(chunk, False)
                yield from self.ready
                self.ready.clear()
        self.parser.Parse(b"", True)
        yield from self.ready

    def _refuse(self, *_declaration: Any) -> None:
        raise WorkbookError("it declares a document type, which no workbook does")

    def _text(self, text: str) -> None:
        self.parts.append(text)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.begin(name.rpartition(" ")[2], attributes)

    def _end(self, name: str) -> None:
        self.end(name.rpartition(" ")[2])

    @abstractmethod
    def begin(self, tag: str, attributes: dict[str, str]) -> None: ...

    @abstractmethod
    def end(self, tag: str) -> None: ...


class _Strings(_Reader):
    """The shared strings, in order."""

    def begin(self, tag: str, attributes: dict[str, str]) -> None:  # noqa: ARG002
        if tag in {"si", "t"}:
            if tag == "si":
                self.whole: list[str] = []
            self.parts.clear()

    def end(self, tag: str) -> None:
        if tag == "t":
            self.whole.append("".join(self.parts))
        elif tag == "si":
            self.ready.append("".join(self.whole))


class _Rows(_Reader):
    """The rows of a sheet."""

    def __init__(self, strings: list[str]) -> None:
        super().__init__()
        self.strings = strings
        self.row: list[Cell] = []
        self.column = 0
        self.kind = "n"

    def begin(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "row":
            self.row = []
        elif tag == "c":
            self.column = _column(attributes["r"]) if "r" in attributes else len(self.row)
            self.kind = attributes.get("t", "n")
            self.parts.clear()
        elif tag == "v":
            self.parts.clear()

    def end(self, tag: str) -> None:
        if tag in {"v", "is"}:
            self.row.extend([None] * (self.column + 1 - len(self.row)))
            self.row[self.column] = self._value("".join(self.parts))
        elif tag == "row":
            self.ready.append(self.row)

    def _value(self, text: str) -> Cell:
        if self.kind == "s":
            return self.strings[int(text)]
        return float(text) if self.kind == "n" else text


def _column(reference: str) -> int:
    """The column of a reference such as `AB12`, from 0."""
    column = 0
    for letter in reference.rstrip("0123456789"):
        column = column * 26 + ord(letter) - ord("A") + 1
    return column - 1
