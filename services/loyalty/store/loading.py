"""Reads what a batch needs, one query a table, and locks it in key order."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

import asyncpg

from services.loyalty.domain.accounts import Account, Allocation, Lot
from services.loyalty.domain.orders import Cancellation, Order, Refund
from services.loyalty.domain.people import People
from shared.ids import CustomerId, EntryId, LotId

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_PEOPLE = """
WITH RECURSIVE reach (id) AS (
    SELECT unnest($1::text[])
    UNION
    SELECT near.id FROM reach CROSS JOIN LATERAL (
        SELECT survivor_id AS id FROM links WHERE absorbed_id = reach.id
        UNION ALL
        SELECT absorbed_id FROM links WHERE survivor_id = reach.id
    ) AS near
)
SELECT absorbed_id, survivor_id FROM links WHERE absorbed_id IN (SELECT id FROM reach)
"""
_OPEN_ACCOUNTS = """
INSERT INTO accounts (customer_id) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING
"""
_READ_ACCOUNTS = """
SELECT customer_id, active, reserved, debt, earned, seq, booked_at, tier, tier_since, review_at,
    linked_tier, linked_tier_since, linked_review_at, erased
FROM accounts WHERE customer_id = ANY($1::text[]) ORDER BY customer_id
"""
_LOCK_ACCOUNTS = """
SELECT customer_id, active, reserved, debt, earned, seq, booked_at, tier, tier_since, review_at,
    linked_tier, linked_tier_since, linked_review_at, erased
FROM accounts WHERE customer_id = ANY($1::text[]) ORDER BY customer_id FOR UPDATE
"""
_ORDERS = """
SELECT order_id, customer_id, total, currency, points, lot_id::text, refunded, reversed,
    cancel_cause, cancel_event_id, cancelled_at, cancel_applied
FROM orders WHERE order_id = ANY($1::text[]) ORDER BY order_id FOR UPDATE
"""
_REFUNDS = """
SELECT order_id, refund_id, amount, currency, cause, event_id, occurred_at, applied
FROM refunds WHERE order_id = ANY($1::text[])
"""
_DUE_LOTS = """
SELECT id::text, customer_id, entry_id::text, earned_at, expires_at, points, remaining, reversed,
    expired, written_off, qualifying
FROM lots WHERE customer_id = ANY($1::text[]) AND remaining > 0 AND expires_at <= $2
"""
_ALL_LOTS = """
SELECT id::text, customer_id, entry_id::text, earned_at, expires_at, points, remaining, reversed,
    expired, written_off, qualifying
FROM lots WHERE customer_id = ANY($1::text[]) AND (remaining > 0 OR earned_at > $2)
"""
_LOTS_BY_ID = """
SELECT id::text, customer_id, entry_id::text, earned_at, expires_at, points, remaining, reversed,
    expired, written_off, qualifying
FROM lots WHERE (customer_id, id) IN (SELECT * FROM unnest($1::text[], $2::uuid[]))
"""
_ALLOCATIONS = """
SELECT customer_id, lot_id::text, entry_id::text, points FROM lot_allocations
WHERE entry_id = ANY($1::uuid[]) ORDER BY customer_id, lot_id
"""


async def people_of(driver: Driver, customers: Iterable[CustomerId]) -> People:
    """The merges that concern these ids, however long their chains."""
    rows = await driver.fetch(_PEOPLE, sorted(set(customers)))
    return People((row[0], row[1]) for row in rows)


async def lock_accounts(
    driver: Driver, customers: Iterable[CustomerId], *, opening: Iterable[CustomerId] = ()
) -> list[Account]:
    """Locks accounts in the order of ids; those of `opening` are made when there are none.

    An erasure that was waited for may have taken one away meanwhile: then it is made anew.
    """
    opened = set(opening)
    while True:
        if opened:
            await driver.execute(_OPEN_ACCOUNTS, sorted(opened))
        rows = await driver.fetch(_LOCK_ACCOUNTS, sorted({*customers, *opened}))
        found = [Account(*row) for row in rows]
        if opened <= {one.customer_id for one in found}:
            return found


async def read_accounts(driver: Driver, customers: Iterable[CustomerId]) -> list[Account]:
    """Accounts without a lock, for answers."""
    return [Account(*row) for row in await driver.fetch(_READ_ACCOUNTS, sorted(set(customers)))]


async def lock_orders(driver: Driver, order_ids: Iterable[str]) -> tuple[list[Order], list[Refund]]:
    """Locks the orders in the order of ids, and reads their refunds."""
    wanted = sorted(set(order_ids))
    if not wanted:
        return [], []
    orders = [_order(row) for row in await driver.fetch(_ORDERS, wanted)]
    known = [order.order_id for order in orders]
    refunds = await driver.fetch(_REFUNDS, known) if known else []
    return orders, [Refund(*row) for row in refunds]


async def due_lots(driver: Driver, customers: Sequence[CustomerId], at: datetime) -> list[Lot]:
    """Lots past their end at `at` of which something remains."""
    return [Lot(*row) for row in await driver.fetch(_DUE_LOTS, list(customers), at)]


async def all_lots(driver: Driver, customers: Collection[CustomerId], since: datetime) -> list[Lot]:
    """Lots that remain or were earned after `since`."""
    return [Lot(*row) for row in await driver.fetch(_ALL_LOTS, list(customers), since)]


async def lots_by_id(driver: Driver, named: Collection[tuple[CustomerId, LotId]]) -> list[Lot]:
    """These lots, whatever remains of them."""
    rows = await driver.fetch(_LOTS_BY_ID, [owner for owner, _ in named], [lot for _, lot in named])
    return [Lot(*row) for row in rows]


async def allocations_of(driver: Driver, entries: Sequence[EntryId]) -> list[Allocation]:
    """What these entries took from lots."""
    return [Allocation(*row) for row in await driver.fetch(_ALLOCATIONS, list(entries))]


def _order(row: asyncpg.Record) -> Order:
    cancellation = None
    if row["cancel_cause"] is not None:
        cancellation = Cancellation(
            row["cancel_cause"], row["cancel_event_id"], row["cancelled_at"], row["cancel_applied"]
        )
    return replace(Order(*row[:8]), cancellation=cancellation)
