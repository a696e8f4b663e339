"""Writes a batch: one statement a table, all rows in arrays."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.loyalty.domain.accounts import Account, Entry, Lot
from services.loyalty.domain.books import Books
from services.loyalty.domain.desk import OrderDesk
from services.loyalty.domain.orders import Order, Refund
from services.loyalty.store.loading import Driver
from shared.ids import CustomerId

_ENTRIES = """
INSERT INTO entries (customer_id, seq, id, kind, cause, rule, reason, order_id, redemption_id,
    lot_id, reverses, occurred_at, booked_at, active, reserved, debt, issued, expired, redeemed,
    written_off, active_after, reserved_after, debt_after)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::text[],
    $7::text[], $8::text[], $9::text[], $10::uuid[], $11::uuid[], $12::timestamptz[],
    $13::timestamptz[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[],
    $19::bigint[], $20::bigint[], $21::bigint[], $22::bigint[], $23::bigint[])
"""
_NEW_LOTS = """
INSERT INTO lots (customer_id, id, entry_id, earned_at, expires_at, points, remaining, reversed,
    expired, written_off, qualifying)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::timestamptz[],
    $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::boolean[])
"""
_CHANGED_LOTS = """
UPDATE lots SET remaining = new.remaining, reversed = new.reversed, expired = new.expired,
    written_off = new.written_off
FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
    AS new (customer_id, id, remaining, reversed, expired, written_off)
WHERE lots.customer_id = new.customer_id AND lots.id = new.id
"""
_ALLOCATIONS = """
INSERT INTO lot_allocations (customer_id, lot_id, entry_id, points)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::bigint[])
"""
_ACCOUNTS = """
UPDATE accounts SET active = new.active, reserved = new.reserved, debt = new.debt,
    earned = new.earned, seq = new.seq, booked_at = new.booked_at, tier = new.tier,
    tier_since = new.tier_since, review_at = new.review_at, linked_tier = new.linked_tier,
    linked_tier_since = new.linked_tier_since, linked_review_at = new.linked_review_at
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
    $7::timestamptz[], $8::text[], $9::timestamptz[], $10::timestamptz[], $11::text[],
    $12::timestamptz[], $13::timestamptz[])
    AS new (customer_id, active, reserved, debt, earned, seq, booked_at, tier, tier_since,
        review_at, linked_tier, linked_tier_since, linked_review_at)
WHERE accounts.customer_id = new.customer_id
"""
_NEW_ORDERS = """
INSERT INTO orders (order_id, customer_id, total, currency, points, lot_id, refunded, reversed,
    cancel_cause, cancel_event_id, cancelled_at, cancel_applied)
SELECT * FROM unnest($1::text[], $2::text[], $3::numeric[], $4::text[], $5::bigint[], $6::uuid[],
    $7::numeric[], $8::bigint[], $9::text[], $10::text[], $11::timestamptz[], $12::boolean[])
"""
_CHANGED_ORDERS = """
UPDATE orders SET customer_id = new.customer_id, total = new.total, currency = new.currency,
    points = new.points, lot_id = new.lot_id, refunded = new.refunded, reversed = new.reversed,
    cancel_cause = new.cancel_cause, cancel_event_id = new.cancel_event_id,
    cancelled_at = new.cancelled_at, cancel_applied = new.cancel_applied
FROM unnest($1::text[], $2::text[], $3::numeric[], $4::text[], $5::bigint[], $6::uuid[],
    $7::numeric[], $8::bigint[], $9::text[], $10::text[], $11::timestamptz[], $12::boolean[])
    AS new (order_id, customer_id, total, currency, points, lot_id, refunded, reversed,
        cancel_cause, cancel_event_id, cancelled_at, cancel_applied)
WHERE orders.order_id = new.order_id
"""
_NEW_REFUNDS = """
INSERT INTO refunds (order_id, refund_id, amount, currency, cause, event_id, occurred_at, applied)
SELECT * FROM unnest($1::text[], $2::text[], $3::numeric[], $4::text[], $5::text[], $6::text[],
    $7::timestamptz[], $8::boolean[])
"""
_APPLIED_REFUNDS = """
UPDATE refunds SET applied = true
FROM unnest($1::text[], $2::text[]) AS done (order_id, refund_id)
WHERE refunds.order_id = done.order_id AND refunds.refund_id = done.refund_id
"""
_LINK = """
INSERT INTO links (absorbed_id, survivor_id) SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (absorbed_id) DO UPDATE SET survivor_id = excluded.survivor_id
"""
_UNLINK = "DELETE FROM links WHERE absorbed_id = ANY($1::text[])"


async def save_books(driver: Driver, books: Books) -> None:
    """Everything the books decided. The accounts must be locked."""
    await _save(driver, _ENTRIES, map(_entry_row, books.entries))
    lots = books.lots
    await _save(driver, _NEW_LOTS, (_new_lot_row(lots[one]) for one in books.new_lots))
    changed = books.changed_lots - books.new_lots
    await _save(driver, _CHANGED_LOTS, (_changed_lot_row(lots[one]) for one in changed))
    await _save(
        driver,
        _ALLOCATIONS,
        ((one.customer_id, one.lot_id, one.entry_id, one.points) for one in books.allocations),
    )
    accounts = [books.accounts[one] for one in sorted(books.changed_accounts)]
    if accounts:
        done = await driver.execute(_ACCOUNTS, *zip(*map(_account_row, accounts), strict=True))
        assert done == f"UPDATE {len(accounts)}", "an account was changed that there is not"


async def save_orders(driver: Driver, desk: OrderDesk) -> None:
    """Orders and refunds that are new or changed."""
    new = sorted(desk.changed_orders - desk.known_orders)
    changed = sorted(desk.changed_orders & desk.known_orders)
    await _save(driver, _NEW_ORDERS, (_order_row(desk.orders[one]) for one in new))
    await _save(driver, _CHANGED_ORDERS, (_order_row(desk.orders[one]) for one in changed))
    fresh = sorted(desk.changed_refunds - desk.known_refunds)
    refunds = (desk.refunds[order][refund] for order, refund in fresh)
    await _save(driver, _NEW_REFUNDS, map(_refund_row, refunds))
    await _save(driver, _APPLIED_REFUNDS, sorted(desk.changed_refunds & desk.known_refunds))


async def save_links(driver: Driver, links: Mapping[CustomerId, CustomerId | None]) -> None:
    """Remembers who was absorbed by whom; None where that was undone."""
    await _save(driver, _LINK, sorted((one, to) for one, to in links.items() if to is not None))
    parted = sorted(one for one, to in links.items() if to is None)
    if parted:
        await driver.execute(_UNLINK, parted)


async def _save(driver: Driver, statement: str, rows: Iterable[Sequence[Any]]) -> None:
    columns = list(zip(*rows, strict=True))
    if columns:
        await driver.execute(statement, *columns)


def _entry_row(entry: Entry) -> tuple[Any, ...]:
    why, moved = entry.why, entry.postings
    return (
        entry.customer_id,
        entry.seq,
        entry.id,
        entry.kind,
        why.cause,
        why.rule,
        why.reason,
        why.order_id,
        why.redemption_id,
        entry.lot_id,
        entry.reverses,
        why.occurred_at,
        entry.booked_at,
        moved.active,
        moved.reserved,
        moved.debt,
        moved.issued,
        moved.expired,
        moved.redeemed,
        moved.written_off,
        entry.active_after,
        entry.reserved_after,
        entry.debt_after,
    )


def _new_lot_row(lot: Lot) -> tuple[Any, ...]:
    return (
        lot.customer_id,
        lot.id,
        lot.entry_id,
        lot.earned_at,
        lot.expires_at,
        lot.points,
        lot.remaining,
        lot.reversed,
        lot.expired,
        lot.written_off,
        lot.qualifying,
    )


def _changed_lot_row(lot: Lot) -> tuple[Any, ...]:
    return lot.customer_id, lot.id, lot.remaining, lot.reversed, lot.expired, lot.written_off


def _account_row(account: Account) -> tuple[Any, ...]:
    return (
        account.customer_id,
        account.active,
        account.reserved,
        account.debt,
        account.earned,
        account.seq,
        account.booked_at,
        account.tier,
        account.tier_since,
        account.review_at,
        account.linked_tier,
        account.linked_tier_since,
        account.linked_review_at,
    )


def _order_row(order: Order) -> tuple[Any, ...]:
    cancelled = order.cancellation
    return (
        order.order_id,
        order.customer_id,
        order.total,
        order.currency,
        order.points,
        order.lot_id,
        order.refunded,
        order.reversed,
        cancelled.cause if cancelled else None,
        cancelled.event_id if cancelled else None,
        cancelled.occurred_at if cancelled else None,
        cancelled.applied if cancelled else False,
    )


def _refund_row(refund: Refund) -> tuple[Any, ...]:
    return (
        refund.order_id,
        refund.refund_id,
        refund.amount,
        refund.currency,
        refund.cause,
        refund.event_id,
        refund.occurred_at,
        refund.applied,
    )
