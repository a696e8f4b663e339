"""The working set of one batch: happenings are folded into it in order, then it is saved at once.

Before a customer's happening is booked, everything the clock owed that customer by then is: lots
past their end, reviews that are due. So the result depends neither on when a job ran nor on where
a batch ended.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.loyalty.domain import tiers
from services.loyalty.domain.accounts import (
    Account,
    Allocation,
    Decision,
    Entry,
    Lot,
    Refused,
    Why,
    spending_order,
)
from services.loyalty.domain.announcements import announce_entry, announce_move
from services.loyalty.domain.ledger import decide_award, decide_expiry
from services.loyalty.domain.people import People
from services.loyalty.domain.program import Program
from services.loyalty.domain.tiers import Move
from shared.events.envelope import Event
from shared.ids import CustomerId, LotId, derived_id


@dataclass(frozen=True, slots=True)
class Happening:
    """What is being booked. `at` is the instant as of which it is judged.

    `cause` is unique among all sources; `event_id` is what outgoing events name as their cause.
    `original` is the id that was named, `subject` the id that stood for the person.
    """

    cause: str
    event_id: str
    original: CustomerId
    subject: CustomerId
    occurred_at: datetime
    at: datetime

    def why(self, reason: str, **about: str | None) -> Why:
        return Why(self.cause, self.occurred_at, self.at, reason, **about)


class Books:
    """Accounts and lots as loaded, and what has been decided since.

    `complete` names the accounts whose lots are all here (those that remain, and those within the
    tier window); of the others only lots past their end need be.
    """

    def __init__(
        self,
        program: Program,
        people: People,
        *,
        accounts: Iterable[Account] = (),
        lots: Iterable[Lot] = (),
        complete: Iterable[CustomerId] = (),
    ) -> None:
        self.program = program
        self.people = people
        self.accounts: dict[CustomerId, Account] = {one.customer_id: one for one in accounts}
        self.lots: dict[LotId, Lot] = {}
        self._lots_of: dict[CustomerId, dict[LotId, Lot]] = {}
        self.include(lots)
        self.complete = set(complete)
        self.entries: list[Entry] = []
        self.allocations: list[Allocation] = []
        self.events: list[Event] = []
        self.changed_accounts: set[CustomerId] = set()
        self.new_lots: set[LotId] = set()
        self.changed_lots: set[LotId] = set()

    def include(self, lots: Iterable[Lot]) -> None:
        """Adds lots as they are stored."""
        for lot in lots:
            self._put_lot(lot)

    def account(self, customer: CustomerId) -> Account:
        """The account of an original id; an empty one when nothing was ever booked."""
        return self.accounts.get(customer) or Account(customer)

    def lots_of(self, customer: CustomerId) -> Sequence[Lot]:
        return list(self._lots_of.get(customer, {}).values())

    def tier_of(self, customer: CustomerId, at: datetime) -> str:
        """The tier of the person: the best of each id's own and of what all reach together."""
        return self._standing(customer, at)[0]

    def catch_up(self, customer: CustomerId, at: datetime) -> None:
        """Books what the clock owes this id by `at`: expired lots, then reviews."""
        self._expire(customer, at)
        account = self.account(customer)
        while account.review_at is not None and account.review_at <= at:
            self.assert_complete(customer)
            due = account.review_at
            before = self.tier_of(customer, due)
            account, move = tiers.review(self.program, account, self.lots_of(customer), at)
            self._put_account(account)
            if move is not None:
                # A review without a change on the way is no happening, so the move's own instant.
                key = derived_id(f"review:{customer}", move.at.isoformat())
                self._tell_tier(customer, before, move.at, key=key, reason=move.reason)

    def award(
        self,
        happening: Happening,
        points: int,
        why: Why,
        *,
        customer: CustomerId | None = None,
        qualifying: bool = True,
        expires_at: datetime | None = None,
    ) -> Entry | Refused:
        """Awards points to an id, and lifts the tier at once when they reach the next."""
        customer = customer or happening.original
        instant = max(happening.at, happening.occurred_at)
        before = self.tier_of(customer, instant)
        ends = expires_at or self.program.expiry_of(why.occurred_at)
        decision = decide_award(
            self.account(customer), points, why, expires_at=ends, qualifying=qualifying
        )
        if isinstance(decision, Refused):
            return decision
        self.book(decision, happening)
        entry = decision.entries[0]
        account = self.account(customer)
        move = None
        if tiers.may_rise(self.program, account):
            self.assert_complete(customer)
            account, move = tiers.upgrade(self.program, account, self.lots_of(customer), instant)
            self._put_account(account)
        reason = move.reason if move else "points of all linked ids together"
        self._tell_tier(customer, before, instant, key=entry.id, reason=reason, happening=happening)
        return entry

    def book(self, decision: Decision, happening: Happening | None = None) -> None:
        """Takes a decision over and lets its events leave."""
        for account in decision.accounts:
            self._put_account(account)
        for lot in decision.lots:
            (self.changed_lots if lot.id in self.lots else self.new_lots).add(lot.id)
            self._put_lot(lot)
        self.entries.extend(decision.entries)
        self.allocations.extend(decision.allocations)
        for entry in decision.entries:
            self._tell_entry(entry, happening)

    def relate(self, happening: Happening, other: CustomerId, change: Callable[[], None]) -> None:
        """Changes whether two ids are one person, and tells of tiers that differ for it."""
        instant = max(happening.at, happening.occurred_at)
        concerned = {*self.people.ids_of(happening.original), *self.people.ids_of(other)}
        before = {one: self.tier_of(one, instant) for one in concerned}
        change()
        for root in sorted({self.people.root(one) for one in concerned}):
            self._tell_tier(
                root,
                before[root],
                instant,
                key=f"{happening.cause}:{root}",
                reason="ids were linked or parted",
                happening=happening,
            )

    def subject_of(self, customer: CustomerId, happening: Happening | None = None) -> CustomerId:
        """The id that stands for the person on outgoing events."""
        root = self.people.root(customer)
        if root == customer and happening is not None and happening.original == customer:
            return happening.subject
        return root

    def _expire(self, customer: CustomerId, at: datetime) -> None:
        due = [
            lot
            for lot in self._lots_of.get(customer, {}).values()
            if lot.expires_at <= at and lot.remaining > 0
        ]
        for lot in spending_order(due):
            decision = decide_expiry(self.account(customer), lot, at)
            assert not isinstance(decision, Refused)
            self.book(decision)

    def _standing(self, customer: CustomerId, at: datetime) -> tuple[str, int | None]:
        lowest = self.program.tiers[0].name
        ids = self.people.ids_of(customer)
        if len(ids) == 1:
            return self.account(customer).tier or lowest, None
        together = sum(
            tiers.qualifying_points(self.lots_of(one), at, self.program.tier_window_months)
            for one in ids
        )
        names = [self.account(one).tier or lowest for one in ids]
        names.append(tiers.tier_for(self.program.tiers, together).name)
        return max(names, key=lambda name: tiers.rank(self.program.tiers, name)), together

    def _tell_tier(
        self,
        customer: CustomerId,
        before: str,
        at: datetime,
        *,
        key: str,
        reason: str,
        happening: Happening | None = None,
    ) -> None:
        now, together = self._standing(customer, at)
        account = self.account(customer)
        if now == before or account.erased:
            return
        points = together
        if points is None:
            points = tiers.qualifying_points(
                self.lots_of(customer), at, self.program.tier_window_months
            )
        self.events.append(
            announce_move(
                Move(before, now, points, reason, at),
                subject=self.subject_of(customer, happening),
                key=key,
                cause=happening.event_id if happening else key,
                recorded_at=happening.at if happening else at,
            )
        )

    def _tell_entry(self, entry: Entry, happening: Happening | None) -> None:
        customer = entry.customer_id
        if self.account(customer).erased:
            return
        others = (one for one in self.people.ids_of(customer) if one != customer)
        lot = self.lots.get(entry.lot_id) if entry.lot_id else None
        event = announce_entry(
            entry,
            subject=self.subject_of(customer, happening),
            balance=entry.active_after + sum(self.account(one).active for one in others),
            cause=happening.event_id if happening else entry.why.cause,
            recorded_at=entry.why.booked_at,
            expires_at=lot.expires_at if lot else None,
        )
        if event is not None:
            self.events.append(event)

    def assert_complete(self, customer: CustomerId) -> None:
        """A decision that looks at all lots must have them: loading fewer is a defect of ours."""
        assert customer in self.complete, "lots that a decision needs were not loaded"

    def _put_account(self, account: Account) -> None:
        self.accounts[account.customer_id] = account
        self.changed_accounts.add(account.customer_id)

    def _put_lot(self, lot: Lot) -> None:
        self.lots[lot.id] = lot
        self._lots_of.setdefault(lot.customer_id, {})[lot.id] = lot
