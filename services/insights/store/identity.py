"""The SQL of identity: links between ids, and the digests of who was erased."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import asyncpg

from services.insights.domain.identity import Erasure, Link, Veil, erasure_key
from shared.ids import CustomerId

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# Everybody who is connected to the given ids, in either direction and over any number of links.
_CONNECTED = """
WITH RECURSIVE connected (id) AS (
  SELECT unnest($1::text[])
  UNION
  SELECT near.id FROM connected CROSS JOIN LATERAL (
    SELECT survivor_id FROM merges WHERE absorbed_id = connected.id
    UNION ALL SELECT absorbed_id FROM merges WHERE survivor_id = connected.id
  ) AS near (id)
)
SELECT root_id, absorbed_id, survivor_id, linked, changed_at, changed_by
FROM connected JOIN merges ON merges.absorbed_id = connected.id
"""
_UNLINK = "DELETE FROM merges WHERE absorbed_id = ANY($1::text[])"
_LINK = """
INSERT INTO merges (absorbed_id, survivor_id, linked, changed_at, changed_by, root_id)
SELECT * FROM unnest($1::text[], $2::text[], $3::boolean[], $4::timestamptz[], $5::text[],
                     $6::text[])
ON CONFLICT (absorbed_id) DO UPDATE
SET survivor_id = excluded.survivor_id, linked = excluded.linked,
    changed_at = excluded.changed_at, changed_by = excluded.changed_by, root_id = excluded.root_id
"""
# Not a lock of a table, which would keep autovacuum from it.
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('insights.identity', 0))"
_VEILS = "SELECT customer_key, erased_at, pseudonym FROM erasures WHERE customer_key = ANY($1)"
_ERASE = """
INSERT INTO erasures (customer_key, erased_at, pseudonym)
SELECT * FROM unnest($1::bytea[], $2::timestamptz[], $3::text[]) ON CONFLICT DO NOTHING
"""


async def lock(driver: Driver, *, erasing: bool) -> None:
    """One at a time decides who is whom. An erasure also waits for those who are writing facts.

    Who writes facts has looked up the erasures before, and holds that look-up's lock until the
    commit; so no fact of an erased customer slips in behind the erasure.
    """
    await driver.execute(_ONE_AT_A_TIME)
    if erasing:
        await driver.execute("LOCK TABLE erasures IN ACCESS EXCLUSIVE MODE")


async def connected(driver: Driver, ids: Iterable[CustomerId]) -> dict[Link, CustomerId]:
    """All links that lead to or from these ids, each with the id that stands for its absorbed."""
    rows = await driver.fetch(_CONNECTED, sorted(set(ids)))
    return {Link(*link): CustomerId(root) for root, *link in rows}


async def change(
    driver: Driver, gone: Iterable[CustomerId], links: Mapping[Link, CustomerId]
) -> None:
    """Forgets the links of absorbed ids that are `gone`; saves links with who stands for them."""
    if absorbed := sorted(gone):
        await driver.execute(_UNLINK, absorbed)
    if links:
        rows = sorted(links, key=lambda link: link.absorbed)
        await driver.execute(
            _LINK,
            [row.absorbed for row in rows],
            [row.survivor for row in rows],
            [row.linked for row in rows],
            [row.changed_at for row in rows],
            [row.changed_by for row in rows],
            [links[row] for row in rows],
        )


async def veils(driver: Driver, ids: Iterable[CustomerId]) -> dict[bytes, list[Veil]]:
    """The erasures of these customers, by digest."""
    found: dict[bytes, list[Veil]] = {}
    keys = sorted({erasure_key(customer) for customer in ids})
    for key, erased_at, pseudonym in await driver.fetch(_VEILS, keys):
        found.setdefault(key, []).append(Veil(erased_at, pseudonym))
    return found


async def erase(driver: Driver, erasures: Sequence[Erasure]) -> None:
    """Remembers who is erased, by digest."""
    await driver.execute(
        _ERASE,
        [erasure_key(one.customer) for one in erasures],
        [one.veil.erased_at for one in erasures],
        [one.veil.pseudonym for one in erasures],
    )
