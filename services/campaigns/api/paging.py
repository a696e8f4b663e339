"""Positions in lists: a cursor says nothing that the database cannot be asked with."""

from datetime import UTC, datetime
from typing import Any

from shared.runtime.http import Problem, decode_cursor

OLDEST = datetime(1, 1, 2, tzinfo=UTC)
NEWEST = datetime(9999, 12, 30, tzinfo=UTC)
_RANKS = range(9)


def position(cursor: str | None, start: datetime) -> tuple[datetime, int, str]:
    """(instant, rank, id) of the last row seen, or the list's start; a foreign cursor is a 422."""
    if cursor is None:
        return start, 0, ""
    at, rank, name = decode_cursor(cursor, 3)
    return _instant(at), number(rank, _RANKS), _name(name)


def named(cursor: str | None) -> str:
    """The name of the last row seen, or the empty one before all."""
    return "" if cursor is None else _name(decode_cursor(cursor, 1)[0])


def number(part: Any, allowed: range) -> int:
    """A part of a cursor that is a whole number of ours."""
    if not isinstance(part, int) or isinstance(part, bool) or part not in allowed:
        raise _foreign()
    return part


def _instant(part: Any) -> datetime:
    try:
        at = datetime.fromisoformat(str(part))
        if at.tzinfo is None:
            raise ValueError("an instant has a zone")
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _foreign() from None


def _name(part: Any) -> str:
    """PostgreSQL's text holds neither NUL nor half of a character."""
    try:
        if not isinstance(part, str) or b"\x00" in part.encode():
            raise ValueError("not a name")
    except ValueError:
        raise _foreign() from None
    return part


def _foreign() -> Problem:
    return Problem(
        422, "the cursor is not one of ours", errors=[{"path": "cursor", "message": "invalid"}]
    )
