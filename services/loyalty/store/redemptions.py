"""Redemptions, by id and by the instant they are to be given back."""

from collections.abc import Iterable
from datetime import datetime

import asyncpg

from services.loyalty.domain.redemptions import Redemption
from services.loyalty.store.loading import Driver

_INSERT = """
INSERT INTO redemptions (id, customer_id, points, state, reason, entry_ids, created_at,
    release_at, settled_at)
VALUES ($1, $2, $3, $4, $5, $6::uuid[], $7, $8, $9)
"""
_SETTLE = """
UPDATE redemptions SET state = new.state, settled_at = new.settled_at
FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS new (id, state, settled_at)
WHERE redemptions.id = new.id
"""
_READ = """
SELECT id, customer_id, points, state, reason, entry_ids::text[], created_at, release_at,
    settled_at
FROM redemptions WHERE id = $1
"""
_LOCK = """
SELECT id, customer_id, points, state, reason, entry_ids::text[], created_at, release_at,
    settled_at
FROM redemptions WHERE id = $1 FOR UPDATE
"""
_LOCK_DUE = """
SELECT id, customer_id, points, state, reason, entry_ids::text[], created_at, release_at,
    settled_at
FROM redemptions WHERE state = 'reserved' AND release_at <= $1
ORDER BY release_at, id LIMIT $2 FOR UPDATE SKIP LOCKED
"""


async def insert(driver: Driver, redemption: Redemption) -> None:
    """A new redemption."""
    await driver.execute(
        _INSERT,
        redemption.id,
        redemption.customer_id,
        redemption.points,
        redemption.state,
        redemption.reason,
        list(redemption.entry_ids),
        redemption.created_at,
        redemption.release_at,
        redemption.settled_at,
    )


async def save_settled(driver: Driver, redemptions: Iterable[Redemption]) -> None:
    """Their states and when they were settled."""
    rows = list(redemptions)
    await driver.execute(
        _SETTLE,
        [one.id for one in rows],
        [one.state for one in rows],
        [one.settled_at for one in rows],
    )


async def read(driver: Driver, redemption_id: str) -> Redemption | None:
    """A redemption, or None."""
    row = await driver.fetchrow(_READ, redemption_id)
    return _redemption(row) if row else None


async def lock(driver: Driver, redemption_id: str) -> Redemption | None:
    """The same, and nobody else settles it meanwhile."""
    row = await driver.fetchrow(_LOCK, redemption_id)
    return _redemption(row) if row else None


async def lock_due(driver: Driver, now: datetime, limit: int) -> list[Redemption]:
    """Reservations that ran out, those that nobody else holds."""
    return [_redemption(row) for row in await driver.fetch(_LOCK_DUE, now, limit)]


def _redemption(row: asyncpg.Record) -> Redemption:
    fields = list(row)
    fields[5] = tuple(fields[5])
    return Redemption(*fields)
