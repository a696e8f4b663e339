"""A redemption: points promised, then spent or given back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from services.loyalty.domain.accounts import Allocation, Decision, Refused, Why
from services.loyalty.domain.books import Books, Happening
from services.loyalty.domain.ledger import decide_capture, decide_redemption, decide_release
from shared.ids import CustomerId, EntryId

State = Literal["reserved", "captured", "released"]


@dataclass(frozen=True, slots=True)
class Redemption:
    """`entry_ids` are the entries that took the points from the lots."""

    id: str
    customer_id: CustomerId
    points: int
    state: State
    reason: str
    entry_ids: tuple[EntryId, ...]
    created_at: datetime
    release_at: datetime | None = None
    settled_at: datetime | None = None


def redeem(
    books: Books,
    customer: CustomerId,
    redemption_id: str,
    points: int,
    reason: str,
    *,
    now: datetime,
    release_at: datetime | None,
) -> Redemption | Refused:
    """Takes points of a person, from the lots of all their ids; at once without `release_at`."""
    ids = books.people.ids_of(customer)
    books.catch_up(customer, now)
    cause = f"request:redemption:{redemption_id}"
    why = Why(cause, now, now, reason, redemption_id=redemption_id)
    accounts = [books.account(one) for one in ids]
    lots = [lot for one in ids for lot in books.lots_of(one)]
    decision = decide_redemption(accounts, lots, points, why, immediate=release_at is None)
    if isinstance(decision, Refused):
        return decision
    books.book(decision, _happening(customer, books, cause, now))
    return Redemption(
        redemption_id,
        customer,
        points,
        "captured" if release_at is None else "reserved",
        reason,
        tuple(entry.id for entry in decision.entries),
        now,
        release_at,
        now if release_at is None else None,
    )


def settle(
    books: Books,
    redemption: Redemption,
    taken: Sequence[Allocation],
    to: Literal["captured", "released"],
    *,
    now: datetime,
    reason: str,
) -> Redemption | Refused:
    """Spends what was reserved for good, or gives it back. Doing the same again is no refusal."""
    if redemption.state == to:
        return redemption
    if redemption.state != "reserved":
        return Refused("already_settled", f"this redemption is {redemption.state} already")
    if to == "captured" and redemption.release_at is not None and redemption.release_at <= now:
        return Refused("already_settled", "the reservation ran out; its points go back")
    owners = sorted({one.customer_id for one in taken})
    for owner in owners:
        books.catch_up(owner, now)
    cause = f"redemption:{redemption.id}:{to}"
    why = Why(cause, now, now, reason, redemption_id=redemption.id)
    decision = _decide(books, owners, taken, why, to)
    books.book(decision, _happening(redemption.customer_id, books, cause, now))
    return replace(redemption, state=to, settled_at=now)


def _decide(
    books: Books, owners: Sequence[CustomerId], taken: Sequence[Allocation], why: Why, to: State
) -> Decision:
    accounts = [books.account(one) for one in owners]
    if to == "captured":
        reserved = {
            owner: sum(one.points for one in taken if one.customer_id == owner) for owner in owners
        }
        return decide_capture(accounts, reserved, why)
    return decide_release(accounts, list(books.lots.values()), taken, why, at=why.occurred_at)


def _happening(customer: CustomerId, books: Books, cause: str, now: datetime) -> Happening:
    return Happening(cause, cause, customer, books.people.root(customer), now, now)
