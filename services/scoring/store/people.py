"""SQL of who is who and what they did: links between ids, states, orders.

Whoever writes locks in one order: the identities (shared; exclusive to change links), then
assessments by customer. Reads of an API take no locks.
"""

import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TypeAlias

import asyncpg

from services.scoring.domain.features import EMPTY, CustomerState
from services.scoring.domain.orders import Order
from services.scoring.domain.packing import pack, pack_refunds, unpack, unpack_refunds
from shared.ids import CustomerId

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
OrderKey = tuple[CustomerId, str]

_IDENTITIES = zlib.crc32(b"scoring.identities")
_REFUNDED_MAX = 10**17

_SHARE = "SELECT pg_advisory_xact_lock_shared($1)"
_OWN = "SELECT pg_advisory_xact_lock($1)"
_LINKS = """
SELECT customer_id, parent_id, root_id FROM links
WHERE customer_id = ANY($1::text[]) OR root_id = ANY($1::text[])
"""
# Those that are held apart from a customer, and roots of circles, which are few.
_HELD = """
SELECT customer_id, parent_id, root_id FROM links
WHERE parent_id = ANY($1::text[]) AND root_id = customer_id AND parent_id <> customer_id
ORDER BY customer_id LIMIT $2
"""
_HELD_MAX = 1_000
_SAVE_LINKS = """
INSERT INTO links (customer_id, parent_id, root_id)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
ON CONFLICT (customer_id) DO UPDATE SET parent_id = excluded.parent_id, root_id = excluded.root_id
"""
_STATES = """
SELECT customer_id, state, as_of, version FROM states
WHERE customer_id = ANY($1::text[])
"""
_SAVE_STATES = """
INSERT INTO states (customer_id, state, as_of, version)
SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[])
ON CONFLICT (customer_id) DO UPDATE
SET state = excluded.state, as_of = excluded.as_of, version = excluded.version
WHERE states.version = excluded.version - 1
"""
_ORDER_COLUMNS = "customer_id, order_id, placed_at, minor, currency, cancelled, refunds"
_ORDERS = f"SELECT {_ORDER_COLUMNS} FROM purchases WHERE order_id = ANY($1::text[])"  # noqa: S608
_SHARED_ORDERS = f"""
SELECT {_ORDER_COLUMNS} FROM purchases WHERE customer_id = ANY($1::text[]) AND order_id IN (
  SELECT order_id FROM purchases WHERE customer_id = ANY($1::text[])
  GROUP BY order_id HAVING count(*) > 1)
"""  # noqa: S608
_DROP_ORDERS = """
DELETE FROM purchases
WHERE (customer_id, order_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
"""
_SAVE_ORDERS = """
INSERT INTO purchases
  (customer_id, order_id, placed_at, minor, currency, cancelled, refunds, refunded_minor)
SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[], $5::text[],
                     $6::boolean[], $7::text[], $8::bigint[])
ON CONFLICT (customer_id, order_id) DO UPDATE SET placed_at = excluded.placed_at,
  minor = excluded.minor, currency = excluded.currency, cancelled = excluded.cancelled,
  refunds = excluded.refunds, refunded_minor = excluded.refunded_minor
"""
_ERASE = (
    "DELETE FROM purchases WHERE customer_id = ANY($1::text[])",
    "DELETE FROM states WHERE customer_id = ANY($1::text[])",
    "DELETE FROM links WHERE customer_id = ANY($1::text[])",
)


class Stored(NamedTuple):
    """The state of one original id. `version` counts its writes; 0 was never written."""

    state: CustomerState = EMPTY
    as_of: datetime | None = None
    version: int = 0


class Link(NamedTuple):
    """An id leads to its parent, in the end to its root."""

    parent_id: CustomerId
    root_id: CustomerId


async def share_identities(driver: Driver) -> None:
    """Nobody changes links until this transaction ends."""
    await driver.execute(_SHARE, _IDENTITIES)


async def own_identities(driver: Driver) -> None:
    """Nobody else handles events until this transaction ends: links are about to change."""
    await driver.execute(_OWN, _IDENTITIES)


async def load_links(
    driver: Driver, ids: Iterable[CustomerId], *, with_held: bool = False
) -> dict[CustomerId, Link]:
    """The links of these ids, of where they lead, and of all that lead to the same.

    Who links wants besides whom an id is held apart from, and (so many) who is held apart from it.
    """
    found: dict[CustomerId, Link] = {}
    asked: set[CustomerId] = set()
    wanted = set(ids)
    while new := wanted - asked:
        rows = await driver.fetch(_LINKS, sorted(new))
        if with_held:
            rows += await driver.fetch(_HELD, sorted(new), _HELD_MAX)
        for row in rows:
            link = Link(row["parent_id"], row["root_id"])
            found[row["customer_id"]] = link
            wanted |= {row["customer_id"], link.root_id}
            if with_held:
                wanted.add(link.parent_id)
        asked |= new
    return found


async def save_links(driver: Driver, links: Mapping[CustomerId, Link]) -> None:
    """Writes these links."""
    if links:
        ids = sorted(links)
        parents = [links[one].parent_id for one in ids]
        await driver.execute(_SAVE_LINKS, ids, parents, [links[one].root_id for one in ids])


async def load_states(driver: Driver, ids: Collection[CustomerId]) -> dict[CustomerId, Stored]:
    """The stored states of these original ids; one never written is absent.

    No locks: writers of a customer meet at its assessment, and `save_states` checks the version.
    """
    rows = await driver.fetch(_STATES, sorted(ids))
    return {
        row["customer_id"]: Stored(unpack(row["state"]), row["as_of"], row["version"])
        for row in rows
    }


async def save_states(driver: Driver, states: Mapping[CustomerId, Stored]) -> None:
    """Writes states whose `version` is one above what was loaded.

    Another writer in between is a `SerializationError`: the batch is done again from what it left.
    """
    if not states:
        return
    ids = sorted(states)
    done = await driver.execute(
        _SAVE_STATES,
        ids,
        [pack(states[one].state) for one in ids],
        [states[one].as_of for one in ids],
        [states[one].version for one in ids],
    )
    if done != f"INSERT 0 {len(ids)}":
        raise asyncpg.SerializationError(f"{len(ids)} states to write, {done}")


async def load_orders(
    driver: Driver, order_ids: Collection[str], ids: Collection[CustomerId]
) -> dict[OrderKey, Order]:
    """What these original ids know of these orders; an order never heard of is absent.

    Found by the order, which is one customer's: asking for every id of a person would cost more
    with each id.
    """
    if not order_ids:
        return {}
    return _of(await driver.fetch(_ORDERS, sorted(order_ids)), ids)


async def load_shared_orders(driver: Driver, ids: Collection[CustomerId]) -> dict[OrderKey, Order]:
    """What these original ids know of orders that several of them know of."""
    return _of(await driver.fetch(_SHARED_ORDERS, sorted(ids)), ids)


def _of(rows: Iterable[asyncpg.Record], ids: Collection[CustomerId]) -> dict[OrderKey, Order]:
    return {
        (row["customer_id"], row["order_id"]): _order(row)
        for row in rows
        if row["customer_id"] in ids
    }


async def drop_orders(driver: Driver, keys: Collection[OrderKey]) -> None:
    """Removes what another id of the person keeps now."""
    if keys:
        wanted = sorted(keys)
        await driver.execute(_DROP_ORDERS, [key[0] for key in wanted], [key[1] for key in wanted])


async def save_orders(driver: Driver, orders: Mapping[OrderKey, Order]) -> None:
    """Writes these orders."""
    if not orders:
        return
    keys: Sequence[OrderKey] = sorted(orders)
    known = [orders[key] for key in keys]
    await driver.execute(
        _SAVE_ORDERS,
        [key[0] for key in keys],
        [key[1] for key in keys],
        [None if one.at is None else datetime.fromtimestamp(one.at, UTC) for one in known],
        [one.minor for one in known],
        [one.currency for one in known],
        [one.cancelled for one in known],
        [pack_refunds(one) for one in known],
        [min(one.refunded(one.currency), _REFUNDED_MAX) for one in known],
    )


async def erase(driver: Driver, ids: Collection[CustomerId]) -> None:
    """Removes everything kept of these ids."""
    for statement in _ERASE:
        await driver.execute(statement, sorted(ids))


def _order(row: asyncpg.Record) -> Order:
    at = row["placed_at"]
    return Order(
        None if at is None else int(at.timestamp()),
        row["minor"],
        row["currency"],
        row["cancelled"],
        unpack_refunds(row["refunds"]),
    )
