"""From the columns of a file to events as `POST /v1/events` takes them. Pure.

A mapping file (TOML or JSON) says which column goes where:

    type = "order.completed"        # for every row; or map a column to `type`
    timezone = "Europe/London"      # of times that name no offset; UTC without
    time_format = "%d/%m/%Y %H:%M"  # as in strptime; or "unix", "unix_ms"; ISO 8601 without
    [columns]
    Invoice = ["id", "data.order_id"]
    Customer = "customer_id"
    Date = "occurred_at"
    Total = "data.total"
    [constants]
    "data.currency" = "GBP"

A path is dotted, and a number in it is a place in a list: `data.items.0.sku`. A column may be
dotted too, into the objects of a JSON line. Without any mapping columns are taken by their names.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from shared.clock import EPOCH
from shared.ids import derived_id
from stack.errors import StackError

_NAMES = frozenset({"id", "type", "customer_id", "anonymous_id", "occurred_at"})
_GROUPS = frozenset({"data", "context"})
_UNIX = {"unix": 1, "unix_ms": 1_000}
_KNOWN = frozenset({"type", "timezone", "time_format", "columns", "constants"})
_WAY_OUT = "See `tenure replay --help`."
_PLACES_MAX = 2_500


class Flaw(NamedTuple):
    """Why a row is no event: the column, the path in the event, and the reason."""

    column: str
    path: str
    reason: str


class BadRow(Exception):
    """A row that is no event."""

    def __init__(self, column: str, path: str, reason: str) -> None:
        super().__init__(reason)
        self.flaw = Flaw(column, path, reason)


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """Which column goes to which paths, what every event has besides, and how times are read."""

    columns: Mapping[str, Sequence[str]]
    constants: Mapping[str, Any] = field(default_factory=dict)
    zone: tzinfo = UTC
    time_format: str | None = None

    def event(self, row: Mapping[str, Any], number: int) -> dict[str, Any]:
        """The event of a row. `number` is the row's in its file; with the row's content it makes
        the id of an event that has none. Raises `BadRow`."""
        event: dict[str, Any] = {}
        for path, value in self.constants.items():
            _put(event, path, _plain(value, ""), "")
        for column, paths in self.columns.items():
            value = _plain(_find(row, column), column)
            if value is None or value == "":
                continue
            for path in paths:
                place = self._instant(value, column) if path == "occurred_at" else value
                _put(event, path, _text(place) if path in _NAMES else place, column)
        return complete(event, row, number)

    def column_of(self, path: str) -> str:
        """The column that a path in an event comes from, or empty."""
        best = ("", "")
        for column, paths in self.columns.items():
            for one in paths:
                if path == one or path.startswith(f"{one}.") or one.startswith(f"{path}."):
                    best = max(best, (one, column), key=lambda found: len(found[0]))
        return best[1]

    def _instant(self, value: Any, column: str) -> str:
        try:
            at = self._read_instant(value)
            if at.tzinfo is None:
                at = at.replace(tzinfo=self.zone)
            at = at.astimezone(UTC)  # files mark "none" and "for ever" by the ends of the calendar
        except (ValueError, OverflowError, OSError) as error:
            raise BadRow(column, "occurred_at", f"is no time: {error}") from None
        return at.isoformat().replace("+00:00", "Z")

    def _read_instant(self, value: Any) -> datetime:
        if isinstance(value, _Moment):
            return value.at
        if self.time_format in _UNIX:
            return EPOCH + timedelta(seconds=float(value) / _UNIX[self.time_format])
        text = _text(value)
        if not isinstance(text, str):
            raise ValueError("a time is a text")
        if self.time_format is not None:
            return datetime.strptime(text, self.time_format)  # noqa: DTZ007 — zoned by the caller
        return datetime.fromisoformat(text)


def complete(event: dict[str, Any], row: Any, number: int) -> dict[str, Any]:
    """An event with an id, which follows from the row and its number: sent again it is the same.
    Raises `BadRow` for one without a time, which would count as happening now."""
    if event.get("occurred_at") is None:
        raise BadRow("", "occurred_at", "needed: history has times")
    event.setdefault("data", {})
    if event.get("id") is None:
        content = json.dumps(row, sort_keys=True, default=str)
        event["id"] = derived_id(f"{number}\x1f{content}", "replay")
    return event


def fitted(mapping: ColumnMapping | None, columns: Iterable[str]) -> ColumnMapping:
    """A mapping for a file with these columns. One that maps none takes them by their names, which
    must be those of the parts of an event. Raises `StackError`."""
    named = list(columns)
    if mapping is not None and mapping.columns:
        missing = [
            column
            for column in mapping.columns
            if column not in named and column.partition(".")[0] not in named
        ]
        if missing:
            raise StackError(
                f"There is no column {', '.join(missing)}.", f"There are: {', '.join(named)}."
            )
        return mapping
    strange = [name for name in named if not _is_path(name)]
    if strange:
        raise StackError(
            f"No mapping says what these columns are: {', '.join(strange[:10])}.",
            "Map them with --map COLUMN=PATH or --mapping FILE.",
        )
    return replace(mapping or ColumnMapping({}), columns={name: (name,) for name in named})


def read_mapping(document: Mapping[str, Any]) -> ColumnMapping:
    """A mapping file's content; raises `StackError` for what it should not say."""
    strange = sorted(set(document) - _KNOWN)
    if strange:
        raise StackError(f"The mapping has unknown parts: {', '.join(strange)}.", _WAY_OUT)
    columns: dict[str, tuple[str, ...]] = {}
    for column, paths in dict(document.get("columns", {})).items():
        listed = [paths] if isinstance(paths, str) else list(paths)
        columns[column] = tuple(_checked(path) for path in listed)
    constants = {_checked(path): one for path, one in dict(document.get("constants", {})).items()}
    if "type" in document:
        constants["type"] = document["type"]
    time_format = document.get("time_format")
    return ColumnMapping(columns, constants, _zone(document.get("timezone")), time_format)


def _zone(name: Any) -> tzinfo:
    if name is None:
        return UTC
    try:
        return ZoneInfo(str(name))
    except (KeyError, ValueError, OSError):
        raise StackError(
            f"There is no time zone {name}.", "Use one such as Europe/London."
        ) from None


def _checked(path: Any) -> str:
    if not isinstance(path, str) or not _is_path(path):
        raise StackError(
            f"{path} is no part of an event.",
            "Map to id, type, customer_id, anonymous_id, occurred_at, data.… or context.…",
        )
    return path


def _is_path(path: str) -> bool:
    first, _, rest = path.partition(".")
    return path in _NAMES or path == "data" or (first in _GROUPS and bool(rest.strip(".")))


def _find(row: Mapping[str, Any], column: str) -> Any:
    """The value of a column: by its name, or dotted into objects."""
    if column in row:
        return row[column]
    value: Any = row
    for name in column.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


class _Moment(NamedTuple):
    """A time that the file itself holds as one."""

    at: datetime


def _plain(value: Any, column: str) -> Any:
    """A value as JSON has it; times as `_Moment`. Raises `BadRow` for what JSON cannot say."""
    if isinstance(value, date):
        return _Moment(value if isinstance(value, datetime) else datetime.combine(value, time.min))
    if isinstance(value, Decimal):
        return str(value) if value.is_finite() else None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(name): _said(_plain(one, column)) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_said(_plain(one, column)) for one in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise BadRow(column, "", f"{type(value).__name__} is nothing that JSON can say")


def _said(value: Any) -> Any:
    if not isinstance(value, _Moment):
        return value
    return (value.at if value.at.tzinfo else value.at.replace(tzinfo=UTC)).isoformat()


def _text(value: Any) -> Any:
    """Ids are numbers in some files; a whole number that became a float loses its point."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _put(event: dict[str, Any], path: str, value: Any, column: str) -> None:
    """Sets a value at a path, making objects and lists on the way."""
    names = path.split(".")
    place: Any = event
    for name, following in zip(names, [*names[1:], ""], strict=True):
        inner: Any = _said(value) if following == "" else [] if following.isdigit() else {}
        if isinstance(place, dict):
            place = place.setdefault(name, inner)
        elif (
            isinstance(place, list) and name.isdigit() and int(name) <= min(len(place), _PLACES_MAX)
        ):
            if int(name) == len(place):
                place.append(inner)
            place = place[int(name)]
        else:
            raise BadRow(column, path, "has no place in the event beside what is there")
