"""Positions in lists that are ordered by an instant and ids."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from shared.runtime.http import Problem, decode_cursor


def instant_and_id(cursor: str) -> tuple[datetime, str]:
    """What a cursor stands for; one that PostgreSQL could not be asked with is a 422."""
    at, (last_id,) = _position(decode_cursor(cursor, 2))
    return at, last_id


def instant_and_ids(cursor: str) -> tuple[datetime, str, str]:
    """The same, of a list whose rows have two ids."""
    at, (first, second) = _position(decode_cursor(cursor, 3))
    return at, first, second


def _position(parts: Sequence[Any]) -> tuple[datetime, Sequence[str]]:
    at, *ids = parts
    try:
        instant = datetime.fromisoformat(at).astimezone(UTC)
        if any(not isinstance(one, str) or b"\x00" in one.encode() for one in ids):
            raise ValueError("not an id")
    except (TypeError, ValueError, OverflowError):
        raise Problem(422, "the cursor is not one of ours") from None
    return instant, ids
