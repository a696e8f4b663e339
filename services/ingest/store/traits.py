"""Which customer has which verified trait: digests alone, never the traits."""

from collections.abc import Collection, Iterable
from typing import TypeAlias

import asyncpg

from services.ingest.domain.joining import Holding

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_KNOWN = """
SELECT customer_id, digest FROM identity_traits
WHERE (customer_id, digest) IN (SELECT * FROM unnest($1::text[], $2::bytea[]))
"""
_KEEP = """
INSERT INTO identity_traits (customer_id, digest, in_force) VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING
"""
_HOLDERS = """
SELECT customer_id FROM identity_traits WHERE digest = $1 AND in_force ORDER BY customer_id
LIMIT $2
"""
_OF = """
SELECT customer_id, digest FROM identity_traits
WHERE customer_id = ANY($1::text[]) AND in_force ORDER BY customer_id, digest
"""
_UNDO = "UPDATE identity_traits SET in_force = false WHERE customer_id = $1 AND digest = $2"


async def known(driver: Driver, holdings: Iterable[Holding]) -> set[Holding]:
    """Which of these were told before, whatever became of them."""
    wanted = list(holdings)
    rows = await driver.fetch(
        _KNOWN, [one.customer_id for one in wanted], [one.digest for one in wanted]
    )
    return {Holding(*row) for row in rows}


async def keep(driver: Driver, holding: Holding, *, in_force: bool) -> None:
    """Remembers a trait; what is not in force joins nobody, now or later."""
    await driver.execute(_KEEP, holding.customer_id, holding.digest, in_force)


async def holders(driver: Driver, digest: bytes, rows_max: int) -> list[str]:
    """The customers that share a trait."""
    return [row["customer_id"] for row in await driver.fetch(_HOLDERS, digest, rows_max)]


async def of_customers(driver: Driver, ids: Collection[str]) -> list[Holding]:
    """The traits in force of these customers."""
    return [Holding(*row) for row in await driver.fetch(_OF, list(ids))]


async def undo(driver: Driver, holding: Holding) -> None:
    """The trait says nothing about this customer any more."""
    await driver.execute(_UNDO, *holding)
