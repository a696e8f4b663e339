"""What the ledger is made of: accounts, entries, lots and the allocations between them.

Points of a customer lie in `active` (can be spent), `reserved` (promised to a redemption) and
`debt` (went back after they were spent). Those of the program have no stored balance: `issued`,
`expired`, `redeemed` and `written_off` are sums over entries.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.ids import CustomerId, EntryId, LotId, derived_id

EntryKind = Literal["award", "reversal", "reserve", "redeem", "capture", "release", "expiry"]


@dataclass(frozen=True, slots=True)
class Postings:
    """One entry's signed changes. `debt` is what the customer owes, so it counts negative."""

    active: int = 0
    reserved: int = 0
    debt: int = 0
    issued: int = 0
    expired: int = 0
    redeemed: int = 0
    written_off: int = 0

    def imbalance(self) -> int:
        """0 in double entry: what one account gains another loses."""
        program = self.issued + self.expired + self.redeemed + self.written_off
        return self.active + self.reserved - self.debt + program


@dataclass(frozen=True, slots=True)
class Account:
    """The balances of one original customer id, never negative, and its place in its tier.

    `earned` is all that ever qualified, net of reversals: an upper bound of what qualifies now.
    `seq` numbers the entries; `booked_at` is the instant of the latest. `linked_*` is the place
    that all linked ids hold together, kept on the id that stands for the person.
    """

    customer_id: CustomerId
    active: int = 0
    reserved: int = 0
    debt: int = 0
    earned: int = 0
    seq: int = 0
    booked_at: datetime | None = None
    tier: str | None = None
    tier_since: datetime | None = None
    review_at: datetime | None = None
    linked_tier: str | None = None
    linked_tier_since: datetime | None = None
    linked_review_at: datetime | None = None
    erased: bool = False


@dataclass(frozen=True, slots=True)
class Why:
    """What led to a movement: `cause` and `rule` book once, for ever."""

    cause: str
    occurred_at: datetime
    booked_at: datetime
    reason: str
    rule: str | None = None
    order_id: str | None = None
    redemption_id: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger: the postings, and the customer's balances after them."""

    id: EntryId
    customer_id: CustomerId
    seq: int
    kind: EntryKind
    why: Why
    postings: Postings
    active_after: int
    reserved_after: int
    debt_after: int
    booked_at: datetime
    lot_id: LotId | None = None
    reverses: EntryId | None = None


@dataclass(frozen=True, slots=True)
class Lot:
    """Points that were earned together and expire together. `points` is what was awarded.

    `reversed` and `expired` are how many of them went either way; `written_off` are those
    `reversed` that could not be taken and were forgiven.
    """

    id: LotId
    customer_id: CustomerId
    entry_id: EntryId
    earned_at: datetime
    expires_at: datetime
    points: int
    remaining: int
    reversed: int = 0
    expired: int = 0
    written_off: int = 0
    qualifying: bool = True

    def is_dead(self, at: datetime) -> bool:
        """Whether points that come back to this lot are lost at once."""
        return self.expired > 0 or self.expires_at <= at


@dataclass(frozen=True, slots=True)
class Allocation:
    """Points that an entry took from a lot; negative when it put them back."""

    customer_id: CustomerId
    lot_id: LotId
    entry_id: EntryId
    points: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What shall be saved: new values of accounts and lots, and rows to append."""

    accounts: tuple[Account, ...] = ()
    entries: tuple[Entry, ...] = ()
    lots: tuple[Lot, ...] = ()
    allocations: tuple[Allocation, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """Why nothing is booked."""

    reason: Literal[
        "nothing_to_award",
        "nothing_to_reverse",
        "nothing_to_expire",
        "insufficient_points",
        "already_settled",
    ]
    detail: str
    available: int = 0


def entry_id(kind: str, why: Why, ordinal: int = 0) -> EntryId:
    """The id of an entry follows from its cause and rule, so that the same books once."""
    return EntryId(derived_id(why.cause, f"entry:{kind}:{why.rule or ''}", ordinal))


def lot_id(why: Why) -> LotId:
    """The id of the lot that an award opens follows from the same as the award's own."""
    return LotId(derived_id(why.cause, f"lot:{why.rule or ''}"))


def post(
    account: Account,
    kind: EntryKind,
    why: Why,
    postings: Postings,
    *,
    ordinal: int = 0,
    lot: LotId | None = None,
    reverses: EntryId | None = None,
    earned: int = 0,
) -> tuple[Account, Entry]:
    """Moves points and writes the line; `earned` is by how many points what qualifies changes."""
    assert postings.imbalance() == 0, f"{kind} is out of balance by {postings.imbalance()}"
    booked_at = max(why.booked_at, account.booked_at or why.booked_at)
    # Spelled out: `replace` looks at every field of a class, and this runs for every award.
    moved = Account(
        account.customer_id,
        account.active + postings.active,
        account.reserved + postings.reserved,
        account.debt + postings.debt,
        account.earned + earned,
        account.seq + 1,
        booked_at,
        account.tier,
        account.tier_since,
        account.review_at,
        account.linked_tier,
        account.linked_tier_since,
        account.linked_review_at,
        account.erased,
    )
    assert min(moved.active, moved.reserved, moved.debt) >= 0, f"{kind} makes a balance negative"
    assert not (moved.active and moved.debt), f"{kind} leaves points beside a debt"
    entry = Entry(
        entry_id(kind, why, ordinal),
        account.customer_id,
        moved.seq,
        kind,
        why,
        postings,
        moved.active,
        moved.reserved,
        moved.debt,
        booked_at,
        lot,
        reverses,
    )
    return moved, entry


def spending_order(lots: Sequence[Lot]) -> list[Lot]:
    """Earliest expiry first; ties by age and id, so that every run takes the same."""
    return sorted(lots, key=lambda lot: (lot.expires_at, lot.earned_at, lot.id))
