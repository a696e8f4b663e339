"""Refused events, as they were sent, for as long as the retention says."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import asyncpg

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_KEEP = """
INSERT INTO rejections
  (id, source, event_index, event_id, event_type, reason, errors, body, rejected_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::text[], $6::text[],
                     $7::text[], $8::text[], $9::timestamptz[])
ON CONFLICT DO NOTHING
"""
_PAGE = """
SELECT id, source, event_index, event_id, event_type, reason, errors,
  CASE WHEN $5::boolean THEN body END AS body, rejected_at
FROM rejections
WHERE ($1::text IS NULL OR reason = $1)
  AND ($2::timestamptz IS NULL OR (rejected_at, id) < ($2, $3))
ORDER BY rejected_at DESC, id DESC LIMIT $4
"""
_FORGET = """
DELETE FROM rejections WHERE id IN
  (SELECT id FROM rejections WHERE rejected_at < $1 ORDER BY rejected_at LIMIT $2)
"""


@dataclass(frozen=True, slots=True)
class Rejection:
    """One refused event. `errors` are {"path", "message"}; `body` is JSON text, perhaps cut, or
    None when it was not asked for."""

    id: str
    source: str
    event_index: int
    event_id: str | None
    event_type: str | None
    reason: str
    errors: Sequence[dict[str, str]]
    body: str | None
    rejected_at: datetime


async def keep(driver: Driver, rejections: Sequence[Rejection]) -> None:
    """Stores them; one that is there already stays."""
    await driver.execute(
        _KEEP,
        [one.id for one in rejections],
        [one.source for one in rejections],
        [one.event_index for one in rejections],
        [one.event_id for one in rejections],
        [one.event_type for one in rejections],
        [one.reason for one in rejections],
        [json.dumps(list(one.errors)) for one in rejections],
        [one.body for one in rejections],
        [one.rejected_at for one in rejections],
    )


async def page(
    driver: Driver,
    *,
    reason: str | None,
    before: tuple[datetime, str] | None,
    rows_max: int,
    bodies: bool,
) -> list[Rejection]:
    """The newest first, after a position if one is given; with what was sent or without."""
    at, rejection_id = before if before is not None else (None, None)
    rows = await driver.fetch(_PAGE, reason, at, rejection_id, rows_max, bodies)
    return [Rejection(**{**dict(row), "errors": json.loads(row["errors"])}) for row in rows]


async def forget(driver: Driver, before: datetime, rows_max: int) -> bool:
    """Deletes some of what is older than `before`; True when there may be more."""
    done = await driver.execute(_FORGET, before, rows_max)
    return bool(done == f"DELETE {rows_max}")
