"""Which customer has which verified trait: digests alone, never the traits."""

from collections.abc import Collection, Iterable, Sequence
from typing import TypeAlias

import asyncpg

from services.ingest.domain.joining import Holding

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_KNOWN = """
SELECT customer_id, digest FROM identity_traits
WHERE (customer_id, digest) IN (SELECT * FROM unnest($1::text[], $2::bytea[]))
"""
_ADOPT_KEY = """
INSERT INTO identity_trait_key (sole, digest) VALUES (true, $1) ON CONFLICT DO NOTHING
"""
_IS_KEY = "SELECT digest = $1 FROM identity_trait_key"
_KEEP = """
INSERT INTO identity_traits (customer_id, digest, in_force)
SELECT *, $3::bool FROM unnest($1::text[], $2::bytea[]) ON CONFLICT DO NOTHING
"""
_FIRST_HOLDERS = """
SELECT DISTINCT ON (digest) digest, customer_id FROM identity_traits
WHERE digest = ANY($1::bytea[]) AND in_force ORDER BY digest, customer_id
"""
_OF = """
SELECT customer_id, digest FROM identity_traits
WHERE customer_id = ANY($1::text[]) AND in_force ORDER BY customer_id, digest
"""
_UNDO = "UPDATE identity_traits SET in_force = false WHERE customer_id = $1 AND digest = $2"


async def adopt_key(driver: Driver, mark: bytes) -> bool:
    """Whether this is the mark of the key of all digests; the first one ever is."""
    await driver.execute(_ADOPT_KEY, mark)
    return bool(await driver.fetchval(_IS_KEY, mark))


async def known(driver: Driver, holdings: Iterable[Holding]) -> set[Holding]:
    """Which of these were told before, whatever became of them."""
    wanted = list(holdings)
    rows = await driver.fetch(
        _KNOWN, [one.customer_id for one in wanted], [one.digest for one in wanted]
    )
    return {Holding(*row) for row in rows}


async def keep(driver: Driver, holdings: Sequence[Holding], *, in_force: bool) -> None:
    """Remembers traits; what is not in force joins nobody, now or later."""
    names, digests = [one.customer_id for one in holdings], [one.digest for one in holdings]
    await driver.execute(_KEEP, names, digests, in_force)


async def first_holders(driver: Driver, digests: Iterable[bytes]) -> dict[bytes, str]:
    """Of each trait in force one customer; who shares it with them is the same person."""
    return dict(await driver.fetch(_FIRST_HOLDERS, list(digests)))


async def of_customers(driver: Driver, ids: Collection[str]) -> list[Holding]:
    """The traits in force of these customers."""
    return [Holding(*row) for row in await driver.fetch(_OF, list(ids))]


async def undo(driver: Driver, holding: Holding) -> None:
    """The trait says nothing about this customer any more."""
    await driver.execute(_UNDO, *holding)
