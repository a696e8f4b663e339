"""Positions in lists that are ordered by an instant and then by an id."""

from datetime import UTC, datetime

from shared.runtime.http import Problem, decode_cursor

OLDEST = datetime(1, 1, 2, tzinfo=UTC)
NEWEST = datetime(9999, 12, 30, tzinfo=UTC)


def position(cursor: str | None, start: datetime) -> tuple[datetime, int, str]:
    """(instant, rank, id) of the last row seen, or the list's start; a foreign cursor is a 422."""
    if cursor is None:
        return start, 0, ""
    at, rank, name = decode_cursor(cursor, 3)
    try:
        instant = datetime.fromisoformat(str(at))
    except ValueError:
        instant = None
    if (
        instant is None
        or instant.tzinfo is None
        or not isinstance(rank, int)
        or rank not in range(9)
    ):
        raise Problem(
            422, "the cursor is not one of ours", errors=[{"path": "cursor", "message": "invalid"}]
        )
    return instant, rank, str(name)
