"""What happens because time passed. A customer's next event would book the very same."""

from collections.abc import Sequence
from datetime import datetime

from services.loyalty.handlers.opening import open_books
from services.loyalty.handlers.redemptions import release_expired
from services.loyalty.store import clock, saving
from shared.ids import CustomerId
from shared.runtime.db import Transaction
from shared.runtime.service import Context


async def expire_lots(context: Context, now: datetime) -> bool:
    """Expires lots past their end, some customers at a time; True when there may be more."""
    limit: int = context.settings.clock_batch_customers
    async with context.transaction() as tx:
        customers = await clock.with_due_lots(tx.driver, now, limit)
        await _catch_up(tx, customers, now)
    return bool(customers)


async def review_tiers(context: Context, now: datetime) -> bool:
    """Holds the reviews that are due, some customers at a time; True when there may be more."""
    limit: int = context.settings.clock_batch_customers
    async with context.transaction() as tx:
        customers = await clock.with_due_reviews(tx.driver, now, limit)
        await _catch_up(tx, customers, now)
    return bool(customers)


async def release_reservations(context: Context, now: datetime) -> bool:
    """Gives back what was reserved for too long; True when there may be more."""
    limit: int = context.settings.clock_batch_customers
    async with context.transaction() as tx:
        released = await release_expired(tx, now, limit)
    return released == limit


async def _catch_up(tx: Transaction, customers: Sequence[CustomerId], now: datetime) -> None:
    if not customers:
        return
    # Lots of a customer without a review are needed only as far as they are due.
    books = await open_books(
        tx.driver, tx.resources.program, customers, at=now, needs_all=lambda _account: False
    )
    for customer in customers:
        books.catch_up(customer, now)
    await saving.save_books(tx.driver, books)
    tx.publish_all(books.events)
