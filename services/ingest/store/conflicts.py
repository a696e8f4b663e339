"""What was not linked, and why: kept for an operator to look at."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TypeAlias

import asyncpg

from services.ingest.domain.identity import Conflict, Refusal

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Position: TypeAlias = tuple[datetime, str, str]

_COLUMNS = "anonymous_id, customer_id, kept_id, event_id, seen_at, reason"
_KEEP = f"""
INSERT INTO identity_conflicts ({_COLUMNS})
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[],
                     $6::text[])
ON CONFLICT DO NOTHING
"""  # noqa: S608
_OF = f"""
SELECT {_COLUMNS} FROM identity_conflicts
WHERE anonymous_id = ANY($1::text[]) OR customer_id = ANY($1::text[])
ORDER BY anonymous_id, customer_id LIMIT $2
"""  # noqa: S608
_PAGE = f"""
SELECT {_COLUMNS} FROM identity_conflicts
WHERE ($1::text IS NULL OR reason = $1)
  AND ($2::timestamptz IS NULL OR (seen_at, anonymous_id, customer_id) < ($2, $3, $4))
ORDER BY seen_at DESC, anonymous_id DESC, customer_id DESC LIMIT $5
"""  # noqa: S608


async def keep(driver: Driver, conflicts: Sequence[Conflict]) -> None:
    """Remembers conflicts; of the same pair of ids only the first."""
    ordered = sorted(conflicts, key=lambda one: (one.anonymous_id, one.customer_id))
    await driver.execute(
        _KEEP,
        [one.anonymous_id for one in ordered],
        [one.customer_id for one in ordered],
        [one.kept_id for one in ordered],
        [one.event_id for one in ordered],
        [one.at for one in ordered],
        [one.reason for one in ordered],
    )


async def of_ids(driver: Driver, ids: Collection[str], rows_max: int) -> list[Conflict]:
    """The conflicts in which one of these ids takes part."""
    return [Conflict(*row) for row in await driver.fetch(_OF, list(ids), rows_max)]


async def page(
    driver: Driver, *, reason: Refusal | None, before: Position | None, rows_max: int
) -> list[Conflict]:
    """The newest first, after a position if one is given."""
    at, anonymous, customer = before if before is not None else (None, None, None)
    rows = await driver.fetch(_PAGE, reason, at, anonymous, customer, rows_max)
    return [Conflict(*row) for row in rows]
