"""Who is who, and the locks that put everything decided about one person in a line."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from services.campaigns.domain.person import Person, people_of
from services.campaigns.store.rows import Driver

# Walks the links both ways; UNION ends it even when they go in a circle.
_LINKED = """
WITH RECURSIVE linked (customer_id) AS (
    SELECT unnest($1::text[])
    UNION
    SELECT near.customer_id FROM linked, LATERAL (
        SELECT survivor_id AS customer_id FROM customers
        WHERE customers.customer_id = linked.customer_id AND survivor_id IS NOT NULL
        UNION ALL
        SELECT customers.customer_id FROM customers
        WHERE customers.survivor_id = linked.customer_id
    ) AS near
)
SELECT linked.customer_id, customers.survivor_id
FROM linked LEFT JOIN customers USING (customer_id)
"""
_ENSURE = """
INSERT INTO customers (customer_id)
SELECT * FROM unnest($1::text[]) ON CONFLICT DO NOTHING
"""
_LOCK = """
SELECT customer_id FROM customers WHERE customer_id = ANY($1::text[])
ORDER BY customer_id FOR UPDATE
"""
_LOCK_FREE = f"{_LOCK} SKIP LOCKED"
_LINK = """
INSERT INTO customers (customer_id, survivor_id, link_told) VALUES ($1, $2, true)
ON CONFLICT (customer_id) DO UPDATE SET survivor_id = excluded.survivor_id, link_told = true
"""
_UNLINK = """
INSERT INTO customers (customer_id, link_told) VALUES ($1, true)
ON CONFLICT (customer_id) DO UPDATE SET survivor_id = NULL, link_told = true
"""
_UNTOLD = """
SELECT named.id FROM unnest($1::text[]) AS named (id) LEFT JOIN customers ON customer_id = named.id
WHERE survivor_id IS NULL AND link_told IS NOT TRUE
"""
_PRESUME = """
UPDATE customers SET survivor_id = presumed.survivor_id
FROM unnest($1::text[], $2::text[]) AS presumed (customer_id, survivor_id)
WHERE customers.customer_id = presumed.customer_id
  AND customers.survivor_id IS NULL AND NOT link_told
"""
_ERASED = "SELECT customer_digest, erased_at FROM erased WHERE customer_digest = ANY($1::bytea[])"


async def find(driver: Driver, ids: Iterable[str]) -> dict[str, Person]:
    """The person behind each id, with all ids that were merged into it."""
    wanted = sorted(set(ids))
    rows = await driver.fetch(_LINKED, wanted)
    survivors = {
        row["customer_id"]: row["survivor_id"] for row in rows if row["survivor_id"] is not None
    }
    return people_of(wanted, survivors)


async def lock(driver: Driver, ids: Iterable[str]) -> dict[str, Person]:
    """Makes the ids known, and locks their persons' rows in the order of their ids."""
    wanted = sorted(set(ids))
    await driver.execute(_ENSURE, wanted)
    return await lock_known(driver, wanted)


async def lock_known(driver: Driver, ids: Iterable[str]) -> dict[str, Person]:
    """As `lock`, for ids that may be unknown and then stay so: nothing is stored about them.

    Who is who may change while we wait for a lock, so it is read again under the locks, until it
    stays the same: a person's rows are then all ours, and nobody can merge them any more.
    """
    wanted = sorted(set(ids))
    locked: set[str] = set()
    while True:
        people = await find(driver, wanted)
        rows = all_ids(people.values())
        if locked.issuperset(rows):
            return people
        await driver.execute(_LOCK, rows)
        locked.update(rows)


async def lock_free(driver: Driver, ids: Iterable[str]) -> dict[str, Person]:
    """Locks the persons whom nobody else has locked; the others are left out, and whoever was
    merged with somebody before we had the lock."""
    wanted = sorted(set(ids))
    people = await find(driver, wanted)
    rows = await driver.fetch(_LOCK_FREE, all_ids(people.values()))
    locked = {row["customer_id"] for row in rows}
    people = await find(driver, wanted)
    return {one: person for one, person in people.items() if locked.issuperset(person.ids)}


def all_ids(people: Iterable[Person]) -> list[str]:
    """Every id of these persons, in order."""
    return sorted({one for person in people for one in person.ids})


async def link(driver: Driver, absorbed: str, survivor: str) -> None:
    await driver.execute(_LINK, absorbed, survivor)


async def unlink(driver: Driver, absorbed: str) -> None:
    """The id stands alone again, whomever it led to: its merges and unmerges come in order."""
    await driver.execute(_UNLINK, absorbed)


async def presume(driver: Driver, survivors: Mapping[str, str]) -> None:
    """Links absorbed ids about which no merge was told yet: it is on its way, on another partition.

    Once any merge or unmerge of an id was told, that alone counts: an event that comes late must
    not join again what was parted.
    """
    untold = [row["id"] for row in await driver.fetch(_UNTOLD, sorted(survivors))]
    if untold:
        await lock(driver, [*untold, *(survivors[one] for one in untold)])
        await driver.execute(_PRESUME, untold, [survivors[one] for one in untold])


def digest(customer: str) -> bytes:
    """What is kept of an erased id: enough to recognise it, not to read it."""
    return hashlib.sha256(customer.encode()).digest()


async def erased_at(driver: Driver, ids: Collection[str]) -> dict[str, datetime]:
    """When each of these ids was erased, for those that were."""
    named = {digest(one): one for one in ids}
    rows = await driver.fetch(_ERASED, list(named))
    return {named[row["customer_digest"]]: row["erased_at"] for row in rows}
