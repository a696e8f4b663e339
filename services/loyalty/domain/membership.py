"""A member as others see one: all ids of a person together, as of an instant."""

from dataclasses import dataclass
from datetime import datetime

from services.loyalty.domain import tiers
from services.loyalty.domain.books import Books
from services.loyalty.domain.program import Tier
from shared.ids import CustomerId


@dataclass(frozen=True, slots=True)
class Standing:
    """Balances and tier of one person. `spendable` keeps back what one of the ids owes."""

    customer_id: CustomerId
    ids: tuple[CustomerId, ...]
    active: int
    reserved: int
    debt: int
    tier: str
    tier_since: datetime | None
    review_at: datetime | None
    qualifying_points: int
    next_tier: Tier | None
    expires_at: datetime | None
    expiring_points: int

    @property
    def spendable(self) -> int:
        return max(0, self.active - self.debt)


def standing(books: Books, customer: CustomerId, now: datetime) -> Standing:
    """Brings the books up to `now` first, so that it is exact whenever jobs ran last."""
    ids = tuple(books.people.ids_of(customer))
    books.catch_up(customer, now)
    accounts = [books.account(one) for one in ids]
    lots = [lot for one in ids for lot in books.lots_of(one)]
    tier = books.tier_of(customer)
    places = [
        *((one.tier_since, one.review_at) for one in accounts if one.tier == tier),
        *(
            (one.linked_tier_since, one.linked_review_at)
            for one in accounts
            if one.linked_tier == tier
        ),
    ]
    first = min((lot.expires_at for lot in lots if lot.remaining > 0), default=None)
    return Standing(
        books.people.root(customer),
        ids,
        sum(one.active for one in accounts),
        sum(one.reserved for one in accounts),
        sum(one.debt for one in accounts),
        tier,
        min((since for since, _ in places if since is not None), default=None),
        max((review_at for _, review_at in places if review_at is not None), default=None),
        tiers.qualifying_points(lots, now, books.program.tier_window_months),
        tiers.next_tier(books.program.tiers, tier),
        first,
        sum(lot.remaining for lot in lots if lot.expires_at == first),
    )
