"""Points that a person in the shop gives by hand."""

from dataclasses import dataclass
from datetime import datetime

from services.loyalty.domain.accounts import Entry, Refused
from services.loyalty.domain.books import Happening
from services.loyalty.handlers.opening import open_books
from services.loyalty.store import saving
from shared.ids import CustomerId
from shared.runtime.db import Transaction


@dataclass(frozen=True, slots=True)
class Gift:
    """What is given, why, and until when it can be spent (None: as the program says)."""

    points: int
    reason: str
    qualifying: bool
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Given:
    """The entry, and what the person has and owes after it, all linked ids together."""

    entry: Entry
    active: int
    debt: int


async def award(
    tx: Transaction, customer: CustomerId, award_id: str, gift: Gift, *, now: datetime
) -> Given | Refused:
    """Books the gift; the account is made when there is none."""
    books = await open_books(
        tx.driver, tx.resources.program, [customer], at=now, opening=[customer]
    )
    books.catch_up(customer, now)
    cause = f"request:award:{award_id}"
    happening = Happening(cause, cause, customer, books.people.root(customer), now, now)
    entry = books.award(
        happening,
        gift.points,
        happening.why(gift.reason),
        qualifying=gift.qualifying,
        expires_at=gift.expires_at,
    )
    if isinstance(entry, Refused):
        return entry
    await saving.save_books(tx.driver, books)
    tx.publish_all(books.events)
    accounts = [books.account(one) for one in books.people.ids_of(customer)]
    return Given(entry, sum(one.active for one in accounts), sum(one.debt for one in accounts))
