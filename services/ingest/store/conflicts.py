"""What was not linked, and why: kept for an operator to look at."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TypeAlias

import asyncpg

from services.ingest.domain.identity import Conflict, Refusal

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Position: TypeAlias = tuple[datetime, str, str]

_COLUMNS = "anonymous_id, customer_id, kept_id, event_id, seen_at, reason"
# What is full is counted once, however many of its conflicts are new.
_KEEP = f"""
WITH new AS (
  SELECT one.*, row_number() OVER (PARTITION BY anonymous_id ORDER BY customer_id) AS place
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[])
    AS one ({_COLUMNS})
  WHERE NOT EXISTS (
    SELECT FROM identity_conflicts AS kept
    WHERE kept.anonymous_id = one.anonymous_id AND kept.customer_id = one.customer_id
  )
), counted AS (
  SELECT anonymous_id, (
    SELECT count(*) FROM (
      SELECT FROM identity_conflicts AS kept WHERE kept.anonymous_id = each.anonymous_id LIMIT $7
    )
  ) AS rows FROM (SELECT DISTINCT anonymous_id FROM new) AS each
)
INSERT INTO identity_conflicts ({_COLUMNS})
SELECT {_COLUMNS} FROM new JOIN counted USING (anonymous_id) WHERE rows + place <= $7
ORDER BY anonymous_id, customer_id
ON CONFLICT DO NOTHING
"""  # noqa: S608
_OF = f"""
SELECT {_COLUMNS} FROM identity_conflicts
WHERE anonymous_id = ANY($1::text[]) OR customer_id = ANY($1::text[])
ORDER BY anonymous_id, customer_id LIMIT $2
"""  # noqa: S608
_PAGE = f"""
SELECT {_COLUMNS} FROM identity_conflicts
WHERE $2::timestamptz IS NULL OR (seen_at, anonymous_id, customer_id) < ($2, $3, $4)
ORDER BY seen_at DESC, anonymous_id DESC, customer_id DESC LIMIT $1
"""  # noqa: S608
PAGE_OF_REASON = f"""
SELECT {_COLUMNS} FROM identity_conflicts
WHERE reason = $5
  AND ($2::timestamptz IS NULL OR (seen_at, anonymous_id, customer_id) < ($2, $3, $4))
ORDER BY seen_at DESC, anonymous_id DESC, customer_id DESC LIMIT $1
"""  # noqa: S608


async def keep(driver: Driver, conflicts: Sequence[Conflict], *, rows_max: int) -> None:
    """Remembers conflicts: of the same pair of ids only the first, and of one `anonymous_id` only
    so many, for a till is in conflict with everybody."""
    await driver.execute(
        _KEEP,
        [one.anonymous_id for one in conflicts],
        [one.customer_id for one in conflicts],
        [one.kept_id for one in conflicts],
        [one.event_id for one in conflicts],
        [one.at for one in conflicts],
        [one.reason for one in conflicts],
        rows_max,
    )


async def of_ids(driver: Driver, ids: Collection[str], rows_max: int) -> list[Conflict]:
    """The conflicts in which one of these ids takes part."""
    return [Conflict(*row) for row in await driver.fetch(_OF, list(ids), rows_max)]


async def page(
    driver: Driver, *, reason: Refusal | None, before: Position | None, rows_max: int
) -> list[Conflict]:
    """The newest first, after a position if one is given."""
    at, anonymous, customer = before if before is not None else (None, None, None)
    place = (rows_max, at, anonymous, customer)
    if reason is None:
        rows = await driver.fetch(_PAGE, *place)
    else:
        rows = await driver.fetch(PAGE_OF_REASON, *place, reason)
    return [Conflict(*row) for row in rows]
