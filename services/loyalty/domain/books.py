"""The working set of one batch: happenings are folded into it in order, then it is saved at once.

Before a customer's happening is booked, everything the clock owed that person by then is: lots
past their end, reviews that are due. So the result depends neither on when a job ran nor on where
a batch ended.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
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

    def tier_of(self, customer: CustomerId) -> str:
        """The tier of the person: the best of each id's own and of what all hold together."""
        names = [self.account(one).tier for one in self.people.ids_of(customer)]
        names.append(self.account(self.people.root(customer)).linked_tier)
        held = max(names, key=lambda name: tiers.rank(self.program.tiers, name))
        return held or self.program.tiers[0].name

    def catch_up(self, customer: CustomerId, at: datetime) -> None:
        """Books what the clock owes the person of this id by `at`: expired lots, then reviews.

        All linked ids at once, because what leaves tells the balance and the tier of the person.
        """
        ids = self.people.ids_of(customer)
        self._expire(ids, at)
        while (due := min(self._due_reviews(ids, at), default=None)) is not None:
            self._review(*due)

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
        before = self.tier_of(customer)
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
        self._rise_together(self.people.ids_of(customer), instant)
        alone = move is not None and move.current == self.tier_of(customer)
        reason = move.reason if move and alone else "points of all linked ids together"
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
        """Changes whether two ids are one person, and tells of tiers that differ for it.

        What linked ids held together stays with them unless one of them parts.
        """
        instant = max(happening.at, happening.occurred_at)
        for one in (happening.original, other):
            self.catch_up(one, happening.at)
        concerned = sorted({*self.people.ids_of(happening.original), *self.people.ids_of(other)})
        standing = {self.people.root(one) for one in concerned}
        before = {one: self.tier_of(one) for one in concerned}
        held = [
            (self.people.ids_of(one), self._together([one]))
            for one in concerned
            if self.account(one).linked_tier is not None
        ]
        change()
        for one in concerned:
            self._hold_together(Account(one))
        for root in sorted({self.people.root(one) for one in concerned}):
            ids = self.people.ids_of(root)
            for group, place in held:
                if set(group) <= set(ids):
                    self._hold_better(root, place)
            self._rise_together(ids, instant)
            self._tell_tier(
                root,
                before[root],
                instant,
                key=f"{happening.cause}:{root}",
                reason="ids were linked or parted",
                happening=happening,
                # What was last told of an id that stood for nobody meanwhile may be long untrue.
                anew=root not in standing and any(self.account(one).seq for one in ids),
            )

    def subject_of(self, customer: CustomerId, happening: Happening | None = None) -> CustomerId:
        """The id that stands for the person on outgoing events."""
        root = self.people.root(customer)
        if root == customer and happening is not None and happening.original == customer:
            return happening.subject
        return root

    def _expire(self, ids: Sequence[CustomerId], at: datetime) -> None:
        due = [
            lot
            for one in ids
            for lot in self._lots_of.get(one, {}).values()
            if lot.expires_at <= at and lot.remaining > 0
        ]
        for lot in spending_order(due):
            decision = decide_expiry(self.account(lot.customer_id), lot, at)
            assert not isinstance(decision, Refused)
            self.book(decision)

    def _due_reviews(
        self, ids: Sequence[CustomerId], at: datetime
    ) -> Iterator[tuple[datetime, bool, CustomerId]]:
        """When, whether of what is held together, and of which id."""
        for one in ids:
            account = self.account(one)
            if account.review_at is not None and account.review_at <= at:
                yield account.review_at, False, one
            if account.linked_review_at is not None and account.linked_review_at <= at:
                yield account.linked_review_at, True, one

    def _review(self, due: datetime, linked: bool, customer: CustomerId) -> None:
        """Holds one review, as of its own instant, whenever it is noticed."""
        before = self.tier_of(customer)
        ids = self.people.ids_of(customer) if linked else [customer]
        account = self._together(ids) if linked else self.account(customer)
        account, move = tiers.review(self.program, account, self._all_lots(ids), due)
        if linked:
            self._hold_together(account)
        else:
            self._put_account(account)
        if move is not None:
            # A review without a change on the way is no happening, so the move's own instant.
            kind = "linked_review" if linked else "review"
            key = derived_id(f"{kind}:{customer}", move.at.isoformat())
            self._tell_tier(customer, before, move.at, key=key, reason=move.reason)

    def _rise_together(self, ids: Sequence[CustomerId], at: datetime) -> None:
        """Lifts what linked ids hold together to what their points reach."""
        if len(ids) == 1:
            return
        person = self._together(ids)
        if tiers.may_rise(self.program, person):
            person, _ = tiers.upgrade(self.program, person, self._all_lots(ids), at)
            self._hold_together(person)

    def _together(self, ids: Sequence[CustomerId]) -> Account:
        """What linked ids hold together, as if it were the account of one id."""
        root = self.account(self.people.root(ids[0]))
        return Account(
            root.customer_id,
            earned=sum(self.account(one).earned for one in ids),
            tier=root.linked_tier,
            tier_since=root.linked_tier_since,
            review_at=root.linked_review_at,
        )

    def _hold_together(self, person: Account) -> None:
        """Keeps what `_together` answered and a decision changed."""
        root = self.account(person.customer_id)
        held = replace(
            root,
            linked_tier=person.tier,
            linked_tier_since=person.tier_since,
            linked_review_at=person.review_at,
        )
        if held != root:
            self._put_account(held)

    def _hold_better(self, root: CustomerId, place: Account) -> None:
        held = self.account(root).linked_tier
        if tiers.rank(self.program.tiers, place.tier) > tiers.rank(self.program.tiers, held):
            self._hold_together(replace(place, customer_id=root))

    def _all_lots(self, ids: Collection[CustomerId]) -> list[Lot]:
        for one in ids:
            self.assert_complete(one)
        return [lot for one in ids for lot in self.lots_of(one)]

    def _tell_tier(
        self,
        customer: CustomerId,
        before: str,
        at: datetime,
        *,
        key: str,
        reason: str,
        happening: Happening | None = None,
        anew: bool = False,
    ) -> None:
        now = self.tier_of(customer)
        if (now == before and not anew) or self.account(customer).erased:
            return
        lots = self._all_lots(self.people.ids_of(customer))
        points = tiers.qualifying_points(lots, at, self.program.tier_window_months)
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
