"""Points promised, spent and given back, as a shop asks or as time runs out."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from services.loyalty.domain import redemptions as domain
from services.loyalty.domain.accounts import Allocation, Refused
from services.loyalty.domain.redemptions import Redemption
from services.loyalty.handlers.opening import open_books
from services.loyalty.store import loading, redemptions, saving
from shared.ids import CustomerId
from shared.runtime.db import Transaction


async def redeem(
    tx: Transaction,
    customer: CustomerId,
    redemption_id: str,
    points: int,
    reason: str,
    *,
    reserve: timedelta | None,
    now: datetime,
) -> Redemption | Refused:
    """Reserves points for a time, or spends them at once when `reserve` is None."""
    books = await open_books(tx.driver, tx.resources.program, [customer], at=now)
    release_at = now + reserve if reserve is not None else None
    made = domain.redeem(
        books, customer, redemption_id, points, reason, now=now, release_at=release_at
    )
    if isinstance(made, Refused):
        return made
    await redemptions.insert(tx.driver, made)
    await saving.save_books(tx.driver, books)
    tx.publish_all(books.events)
    return made


async def settle(
    tx: Transaction, redemption_id: str, to: Literal["captured", "released"], *, now: datetime
) -> Redemption | Refused | None:
    """Captures or releases a reservation; None when there is no such redemption."""
    found = await redemptions.lock(tx.driver, redemption_id)
    if found is None:
        return None
    settled, refused = await _settle(tx, [found], to, now, f"reservation {to}")
    return refused[0] if refused else settled[0]


async def release_expired(tx: Transaction, now: datetime, limit: int) -> int:
    """Gives back up to `limit` reservations that ran out; answers how many."""
    due = await redemptions.lock_due(tx.driver, now, limit)
    if due:
        await _settle(tx, due, "released", now, "the reservation ran out")
    return len(due)


async def _settle(
    tx: Transaction,
    found: Sequence[Redemption],
    to: Literal["captured", "released"],
    now: datetime,
    reason: str,
) -> tuple[list[Redemption], list[Refused]]:
    entries = [entry for one in found for entry in one.entry_ids]
    taken = await loading.allocations_of(tx.driver, entries)
    books = await open_books(
        tx.driver,
        tx.resources.program,
        {one.customer_id for one in taken},
        at=now,
    )
    lots = {(one.customer_id, one.lot_id) for one in taken}
    books.include(await loading.lots_by_id(tx.driver, lots))
    settled: list[Redemption] = []
    refused: list[Refused] = []
    for redemption in found:
        outcome = domain.settle(
            books, redemption, _of(redemption, taken), to, now=now, reason=reason
        )
        if isinstance(outcome, Refused):
            refused.append(outcome)
        else:
            settled.append(outcome)
    await redemptions.save_settled(tx.driver, settled)
    await saving.save_books(tx.driver, books)
    tx.publish_all(books.events)
    return settled, refused


def _of(redemption: Redemption, taken: Sequence[Allocation]) -> list[Allocation]:
    return [one for one in taken if one.entry_id in redemption.entry_ids]
