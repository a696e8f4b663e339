"""Whatever is awarded, reversed, redeemed, released, expired, repeated or merged, in any order:
the books balance, agree with a model that knows nothing of entries, and are never negative."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.loyalty.domain.accounts import Allocation, Refused
from services.loyalty.domain.redemptions import Redemption, redeem, settle
from shared.events.commerce import OrderCancelled, OrderCompleted, OrderRefunded
from shared.events.envelope import Event
from shared.ids import CustomerId
from shared.testing.builders import NOON, event
from tests.unit.loyalty.ledger_in_memory import Ledger, happening

IDS = tuple(CustomerId(f"c-{n}") for n in range(2))
DAY = timedelta(days=1)
customers = st.sampled_from(IDS)
order_numbers = st.integers(0, 29)
amounts = st.sampled_from([7, 10, 33, 100, 250])


@dataclass
class Model:
    """Piles of points by their end: [end, left, order, lost, reversed]; no double entry."""

    piles: dict[CustomerId, list[list[Any]]] = field(
        default_factory=lambda: {one: [] for one in IDS}
    )
    debt: dict[CustomerId, int] = field(default_factory=lambda: dict.fromkeys(IDS, 0))

    def active(self, who: CustomerId) -> int:
        return sum(pile[1] for pile in self.piles[who])

    def award(self, who: CustomerId, order: str, points: int, end: datetime) -> None:
        paid = min(points, self.debt[who])
        self.debt[who] -= paid
        self.piles[who].append([end, points - paid, order, 0, 0])

    def expire(self, who: CustomerId, at: datetime) -> None:
        for pile in self.piles[who]:
            if pile[0] <= at:
                pile[1], pile[3] = 0, pile[3] + pile[1]

    def reverse(self, who: CustomerId, order: str, points: int) -> None:
        pile = next(one for one in self.piles[who] if one[2] == order)
        own = min(points, pile[1])
        pile[1] -= own
        pile[4] += points
        lost = min(points - own, pile[3])
        pile[3] -= lost
        self.debt[who] += points - own - lost - self.take([who], points - own - lost)

    def take(self, ids: list[CustomerId], points: int) -> int:
        left = points
        piles = [pile for who in ids for pile in self.piles[who]]
        for pile in sorted(piles, key=lambda one: one[0]):
            share = min(left, pile[1])
            pile[1], left = pile[1] - share, left - share
        return points - left


class LedgerMachine(RuleBasedStateMachine):
    """The model sees facts; the ledger sees events, some of them twice or before their time."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger, self.model = Ledger(), Model()
        self.now = NOON
        self.seen: list[Event] = []
        self.totals: dict[str, tuple[CustomerId, int]] = {}
        self.refunded: dict[str, int] = {}
        self.reversed: dict[str, int] = {}
        self.cancelled: set[str] = set()
        self.redemptions: list[tuple[Redemption, list[Allocation]]] = []

    @initialize()
    def two_members(self) -> None:
        for number, who in enumerate((*IDS, *IDS)):
            self.order(who, number, 100)

    def tell(self, one: Event) -> None:
        self.seen.append(one)
        self.ledger.handle(one, at=self.now)

    @rule(who=customers, number=order_numbers, total=amounts | st.just(0))
    def order(self, who: CustomerId, number: int, total: int) -> None:
        self.now += timedelta(seconds=1)
        name = f"o-{number}"
        told = event(OrderCompleted, customer=who, order_id=name, total=str(total), at=self.now)
        if name not in self.totals:
            self.totals[name] = (who, total)
            if total:
                end = self.ledger.program.expiry_of(self.now)
                self.model.award(who, name, total, end)
            self.reverse_due(name)
        self.tell(told)

    @rule(number=order_numbers, amount=amounts, cancel=st.integers(0, 9))
    def refund_or_cancel(self, number: int, amount: int, cancel: int) -> None:
        name = self.mostly_known(number)
        if cancel == 9:
            self.cancelled.add(name)
            told: Event = event(OrderCancelled, order_id=name, at=self.now)
        else:
            self.refunded[name] = self.refunded.get(name, 0) + amount
            told = event(
                OrderRefunded,
                order_id=name,
                refund_id=f"r-{len(self.seen)}",
                amount=Decimal(amount),
                at=self.now,
            )
        self.reverse_due(name)
        self.tell(told)

    def mostly_known(self, number: int) -> str:
        """A late order's name for some numbers, for others one of those that have arrived."""
        known = list(self.totals)
        return known[number % len(known)] if known and number > 1 else f"o-{number}"

    def reverse_due(self, name: str) -> None:
        """The share of the award that belongs to the money that went back so far."""
        who, total = self.totals.get(name, (None, 0))
        if who is None or total == 0:
            return
        back = total if name in self.cancelled else min(total, self.refunded.get(name, 0))
        due = back - self.reversed.get(name, 0)
        if due > 0:
            self.model.reverse(who, name, due)
            self.reversed[name] = back

    @precondition(lambda self: self.seen)
    @rule(data=st.data())
    def redeliver_as_another_event(self, data: st.DataObject) -> None:
        old = data.draw(st.sampled_from(self.seen))
        self.ledger.handle(old.model_copy(update={"id": f"{old.id}-again"}), at=self.now)

    @rule(who=customers, share=st.sampled_from([0.4, 1, 1, 1.5]), immediate=st.booleans())
    def spend(self, who: CustomerId, share: float, immediate: bool) -> None:
        books = self.ledger.books()
        ids = books.people.ids_of(who)
        have = sum(self.model.active(one) - self.model.debt[one] for one in ids)
        gross = sum(self.model.active(one) for one in ids)
        points = max(1, int(share * gross))
        release_at = None if immediate else self.now + 9_000 * DAY
        made = redeem(
            books,
            who,
            f"x-{len(self.redemptions)}-{len(self.ledger.entries)}",
            points,
            "spent",
            now=self.now,
            release_at=release_at,
        )
        assert isinstance(made, Refused) == (points > max(0, have))
        if isinstance(made, Refused):
            return
        self.model.take(ids, points)
        taken = list(books.allocations)
        self.ledger.save(books)
        if not immediate:
            self.redemptions.append(
                (made, [one for one in taken if one.entry_id in made.entry_ids])
            )

    @rule(who=customers, immediate=st.booleans(), back=amounts)
    def spend_all_then_send_back(self, who: CustomerId, immediate: bool, back: int) -> None:
        """The way into a debt, which chance alone seldom finds."""
        mine = [number for number, name in enumerate(self.totals) if self.totals[name][0] == who]
        self.spend(who, 1, immediate)
        self.refund_or_cancel(mine[-1] + len(self.totals), back, 0)

    @rule(who=customers, back=amounts, job_runs=st.booleans())
    def send_back_what_ends_while_it_is_reserved(
        self, who: CustomerId, back: int, job_runs: bool
    ) -> None:
        """The way into a debt for points that nobody spent."""
        known = len(self.redemptions)
        self.spend_all_then_send_back(who, False, back)
        self.wait(740, job_runs)
        for place in range(known, len(self.redemptions)):
            self.settle_at(place, "released")

    @precondition(lambda self: self.redemptions)
    @rule(data=st.data(), to=st.sampled_from(["captured", "released"]))
    def settle(self, data: st.DataObject, to: str) -> None:
        self.settle_at(data.draw(st.integers(0, len(self.redemptions) - 1)), to)

    def settle_at(self, place: int, to: str) -> None:
        made, taken = self.redemptions[place]
        books = self.ledger.books()
        done = settle(books, made, taken, to, now=self.now, reason="settled")  # type: ignore[arg-type]
        self.ledger.save(books)
        if isinstance(done, Refused) or made.state == to:
            assert not books.entries
            return
        self.redemptions[place] = (replace(done), taken)
        if to == "released":
            self.give_back(taken)

    def give_back(self, taken: list[Allocation]) -> None:
        """Each id's points to their piles, a debt first, from the pile that ends first.

        Of a pile that ended only what its own order took back pays; the rest is lost.
        """
        lots = self.ledger.lots
        ordered = sorted(taken, key=lambda one: (lots[one.lot_id].expires_at, one.lot_id))
        for one in ordered:
            end = lots[one.lot_id].expires_at
            pile = next(pile for pile in self.model.piles[one.customer_id] if pile[0] == end)
            payable = min(one.points, pile[4]) if end <= self.now else one.points
            paid = min(payable, self.model.debt[one.customer_id])
            self.model.debt[one.customer_id] -= paid
            pile[3 if end <= self.now else 1] += one.points - paid

    @rule(absorbed=customers, survivor=customers, merged=st.booleans())
    def relate(self, absorbed: CustomerId, survivor: CustomerId, merged: bool) -> None:
        books = self.ledger.books()
        people = books.people
        told = happening(event(OrderCompleted, customer=absorbed), self.now)
        if merged:
            books.relate(told, survivor, lambda: people.merge(absorbed, survivor))
        else:
            books.relate(told, survivor, lambda: people.unmerge(absorbed))
        # Balances stay per id: only the place that linked ids hold together may change.
        assert {entry.kind for entry in books.entries} <= {"expiry"}
        self.ledger.save(books)

    @rule(days=st.sampled_from([1, 1, 40, 740]), job_runs=st.booleans())
    def wait(self, days: int, job_runs: bool) -> None:
        self.now += days * DAY
        for one in IDS:
            self.model.expire(one, self.now)
        if job_runs:
            self.ledger.catch_up(self.now)

    @invariant()
    def the_books_balance_and_agree(self) -> None:
        self.ledger.check()
        books = self.ledger.books()
        for who in IDS:
            books.catch_up(who, self.now)
            account = books.account(who)
            assert account.active == self.model.active(who)
            assert account.debt == self.model.debt[who]
        open_points = sum(one.points for one, _ in self.redemptions if one.state == "reserved")
        assert open_points == sum(one.reserved for one in self.ledger.accounts.values())
        everything = sum(one.postings.imbalance() for one in self.ledger.entries)
        assert everything == 0


LedgerMachine.TestCase.settings = settings(
    max_examples=120, stateful_step_count=40, deadline=None, derandomize=True
)
test_the_ledger_agrees_with_a_model_whatever_happens = LedgerMachine.TestCase
