"""Positions in lists that are ordered by an instant and an id."""

from datetime import UTC, datetime

from shared.runtime.http import Problem, decode_cursor


def instant_and_id(cursor: str) -> tuple[datetime, str]:
    """What a cursor stands for; one that PostgreSQL could not be asked with is a 422."""
    at, last_id = decode_cursor(cursor, 2)
    try:
        instant = datetime.fromisoformat(at).astimezone(UTC)
        if not isinstance(last_id, str) or b"\x00" in last_id.encode():
            raise ValueError("not an id")
    except (TypeError, ValueError, OverflowError):
        raise Problem(422, "the cursor is not one of ours") from None
    return instant, last_id
