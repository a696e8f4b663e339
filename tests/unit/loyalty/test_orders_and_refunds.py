"""Orders earn; refunds and cancellations take back, in any order, number and batch."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.domain.accounts import Account, Allocation, Refused, Why
from services.loyalty.domain.books import Books
from services.loyalty.domain.ledger import decide_redemption, decide_release
from services.loyalty.domain.orders import Order, points_due
from services.loyalty.domain.program import EarningRule, Program
from services.loyalty.domain.redemptions import redeem
from shared.events.commerce import OrderCancelled, OrderCompleted, OrderRefunded
from shared.events.engagement import CustomerMerged
from shared.events.envelope import Event
from shared.events.loyalty import PointsAwarded, PointsReversed
from shared.ids import CustomerId
from shared.testing.builders import NOON, event
from shared.testing.harness import in_batches
from tests.unit.loyalty.ledger_in_memory import Ledger, happening

ADA = CustomerId("c-1")
DAY = timedelta(days=1)


def spend(ledger: Ledger, points: int) -> None:
    books: Books = ledger.books()
    why = happening(event(OrderCompleted, at=NOON), NOON).why("spent")
    lots = books.lots_of(ADA)
    decision = decide_redemption([books.account(ADA)], lots, points, why, immediate=True)
    assert not isinstance(decision, Refused)
    books.book(decision)
    ledger.save(books)


def reserve(ledger: Ledger, points: int, name: str = "x-1") -> list[Allocation]:
    """Reserves for long; answers what was taken."""
    books = ledger.books()
    made = redeem(books, ADA, name, points, "spent", now=NOON, release_at=NOON + 9_000 * DAY)
    assert not isinstance(made, Refused)
    ledger.save(books)
    return [one for one in books.allocations if one.entry_id in made.entry_ids]


def release(ledger: Ledger, taken: list[Allocation], at: datetime) -> None:
    books = ledger.books()
    why = Why("release", at, at, "released")
    lots = list(ledger.lots.values())
    books.book(decide_release([books.account(ADA)], lots, taken, why, at=at))
    ledger.save(books)
    ledger.check()


def account(ledger: Ledger) -> Account:
    return ledger.accounts[ADA]


@pytest.mark.parametrize(
    ("total", "points"), [("0.99", 0), ("1.00", 1), ("12.99", 12), ("5000", 5000)]
)
def test_an_order_earns_one_point_per_whole_unit_of_its_total(total: str, points: int) -> None:
    ledger = Ledger()
    ledger.handle(event(OrderCompleted, total=total))
    assert sum(one.active for one in ledger.accounts.values()) == points


def test_an_order_counts_once_whatever_its_events_are_called() -> None:
    ledger = Ledger()
    outcomes = ledger.handle(event(OrderCompleted), event(OrderCompleted), event(OrderCompleted))
    assert outcomes == ["booked", "repeated", "repeated"]
    assert account(ledger).active == 10


def test_a_refund_counts_once_whatever_its_events_are_called() -> None:
    ledger = Ledger()
    ledger.handle(event(OrderCompleted, total="100"))
    refunds = [event(OrderRefunded, amount="30"), event(OrderRefunded, amount="30")]
    assert ledger.handle(*refunds) == ["booked", "repeated"]
    assert account(ledger).active == 70


@given(
    st.decimals("0.01", "9999", places=2),
    st.lists(st.integers(1, 100), min_size=1, max_size=8),
    st.integers(1, 7),
)
def test_refunding_everything_in_any_parts_reverses_exactly_everything(
    total: Decimal, weights: list[int], per_unit: int
) -> None:
    order = Order("o-1", ADA, total, "GBP", points=int(total) * per_unit)
    left = total
    for place, weight in enumerate(weights):
        last = place == len(weights) - 1
        part = left if last else (total * weight / sum(weights)).quantize(Decimal("0.01"))
        part = min(part, left)
        left -= part
        order = replace(order, refunded=order.refunded + part)
        due = points_due(order)
        order = replace(order, reversed=order.reversed + due)
        assert 0 <= order.reversed <= order.points
    assert order.reversed == order.points


def test_one_of_three_parts_refunded_after_the_rule_changed_reverses_what_was_awarded() -> None:
    ledger = Ledger()
    ledger.handle(event(OrderCompleted, total="90.00"))
    ledger.program = Program(earning_rules=(EarningRule("double", points_per_unit=2),))
    ledger.handle(event(OrderRefunded, amount="30.00"))
    assert account(ledger).active == 60


def test_a_refund_after_the_points_were_spent_becomes_a_debt_that_later_awards_pay() -> None:
    ledger = Ledger()
    ledger.handle(event(OrderCompleted, total="100"))
    spend(ledger, 80)
    ledger.handle(event(OrderRefunded, amount="100"))
    assert (account(ledger).active, account(ledger).debt) == (0, 80)
    ledger.handle(event(OrderCompleted, order_id="o-2", total="100"))
    assert (account(ledger).active, account(ledger).debt) == (20, 0)
    ledger.check()


def test_spent_points_are_taken_from_other_lots_before_there_is_a_debt() -> None:
    ledger = Ledger()
    ledger.handle(
        event(OrderCompleted, total="100"),
        event(OrderCompleted, order_id="o-2", total="50", at=NOON + DAY),
    )
    spend(ledger, 100)
    ledger.handle(event(OrderRefunded, amount="100"))
    assert (account(ledger).active, account(ledger).debt) == (0, 50)
    ledger.check()


def test_a_shop_may_write_off_what_cannot_be_taken_back() -> None:
    ledger = Ledger(Program(refund_policy="floor_at_zero"))
    ledger.handle(event(OrderCompleted, total="100"))
    spend(ledger, 80)
    ledger.handle(event(OrderRefunded, amount="100"))
    assert (account(ledger).active, account(ledger).debt) == (0, 0)
    assert sum(entry.postings.written_off for entry in ledger.entries) == -80
    ledger.check()


@pytest.mark.parametrize("days", [1, 800])
@pytest.mark.parametrize("refund_on", [0, 799])
def test_points_that_were_never_spent_leave_no_debt_when_they_are_released(
    days: int, refund_on: int
) -> None:
    ledger = Ledger()
    ledger.handle(event(OrderCompleted, total="100"))
    taken = reserve(ledger, 100)
    ledger.handle(event(OrderRefunded, amount="100", at=NOON + min(days, refund_on) * DAY))
    assert account(ledger).debt == 100
    release(ledger, taken, NOON + days * DAY)
    assert (account(ledger).active, account(ledger).debt) == (0, 0)
    assert sum(entry.postings.expired for entry in ledger.entries) == 0


def test_of_an_ended_lot_only_what_its_own_order_took_back_pays_a_debt() -> None:
    ledger = Ledger()
    ledger.handle(
        event(OrderCompleted, total="100"),
        event(OrderCompleted, order_id="o-2", total="50", at=NOON + 700 * DAY),
    )
    taken = reserve(ledger, 150)
    ledger.handle(event(OrderRefunded, amount="30", at=NOON + 701 * DAY))
    ledger.handle(event(OrderCancelled, order_id="o-2", at=NOON + 702 * DAY))
    assert account(ledger).debt == 80
    release(ledger, [one for one in taken if one.points == 100], NOON + 800 * DAY)
    assert (account(ledger).active, account(ledger).debt) == (0, 50)
    assert sum(entry.postings.expired for entry in ledger.entries) == 70


@pytest.mark.parametrize("days", [1, 800])
def test_points_written_off_while_they_were_reserved_do_not_come_back_as_a_gift(days: int) -> None:
    ledger = Ledger(Program(refund_policy="floor_at_zero"))
    ledger.handle(event(OrderCompleted, total="100"))
    spend(ledger, 30)
    taken = reserve(ledger, 70)
    ledger.handle(event(OrderRefunded, amount="100"))
    release(ledger, taken, NOON + days * DAY)
    assert (account(ledger).active, account(ledger).debt) == (0, 0)
    assert sum(entry.postings.written_off for entry in ledger.entries) == -30


def test_a_cancelled_order_gives_back_what_refunds_left() -> None:
    ledger = Ledger()
    ledger.handle(
        event(OrderCompleted, total="100"), event(OrderRefunded, amount="40"), event(OrderCancelled)
    )
    assert account(ledger).active == 0
    assert [one.data.points for one in ledger.events if isinstance(one, PointsReversed)] == [40, 60]


def test_a_refund_in_another_currency_reverses_nothing() -> None:
    ledger = Ledger()
    ledger.handle(event(OrderCompleted, total="100"), event(OrderRefunded, currency="JPY"))
    assert account(ledger).active == 100


def test_expired_points_that_are_refunded_make_no_debt() -> None:
    ledger = Ledger()
    ledger.handle(event(OrderCompleted, total="100"))
    later = NOON + 800 * DAY
    ledger.handle(event(OrderRefunded, amount="100", at=later))
    assert (account(ledger).active, account(ledger).debt) == (0, 0)
    assert sum(entry.postings.expired for entry in ledger.entries) == 0
    ledger.check()


def test_the_final_books_do_not_depend_on_the_order_of_arrival() -> None:
    happenings = [
        event(OrderCompleted, total="100", at=NOON),
        event(OrderRefunded, amount="33.33", refund_id="r-1", at=NOON + DAY),
        event(OrderRefunded, amount="33.33", refund_id="r-2", at=NOON + 2 * DAY),
        event(OrderCompleted, order_id="o-2", total="7", at=NOON + 3 * DAY),
    ]
    books = set()
    for arrival in permutations(happenings):
        ledger = Ledger()
        for one in arrival:
            ledger.handle(one, at=NOON + 5 * DAY)
        ledger.check()
        balances = (account(ledger).active, account(ledger).debt, account(ledger).earned)
        lots = tuple(sorted((lot.id, lot.remaining, lot.reversed) for lot in ledger.lots.values()))
        books.add((balances, lots, frozenset(entry.id for entry in ledger.entries)))
    assert len(books) == 1


def test_results_do_not_depend_on_where_batches_end() -> None:
    history: list[Event] = [
        one
        for n in range(12)
        for one in (
            event(OrderCompleted, order_id=f"o-{n}", total="400", at=NOON + n * 40 * DAY),
            event(OrderRefunded, order_id=f"o-{n // 2}", amount="99.99", at=NOON + n * 41 * DAY),
        )
    ]
    history.append(event(OrderCancelled, order_id="o-3", at=NOON + 900 * DAY))
    results = []
    for size in (1, 7, len(history)):
        ledger = Ledger()
        for batch in in_batches(history, size):
            ledger.handle(*batch)
        ledger.check()
        results.append((ledger.entries, ledger.events, ledger.accounts, ledger.allocations))
    assert results[0] == results[1] == results[2]


def test_what_leaves_tells_the_points_the_balance_and_the_reason() -> None:
    ledger = Ledger()
    order = event(OrderCompleted, total="12.99")
    ledger.handle(order, event(OrderRefunded, amount="12.99"))
    awarded = next(one for one in ledger.events if isinstance(one, PointsAwarded))
    went_back = next(one for one in ledger.events if isinstance(one, PointsReversed))
    assert (awarded.data.points, awarded.data.balance, awarded.data.rule) == (12, 12, "order_total")
    assert (awarded.cause, awarded.subject, awarded.time) == (order.id, ADA, order.time)
    assert (went_back.data.points, went_back.data.balance) == (12, 0)
    assert went_back.data.reverses == awarded.data.entry_id


@pytest.mark.parametrize("heard", [True, False])
def test_points_are_told_with_the_id_that_they_are_booked_on(heard: bool) -> None:
    ledger = Ledger()
    if heard:
        ledger.relate(event(CustomerMerged, customer="c-2", survivor_id=ADA))
    ledger.handle(event(OrderCompleted, customer="c-1", alias="c-2", total="20"))
    ledger.handle(event(OrderCompleted, customer="c-1", order_id="o-2", total="7"))
    told = [one for one in ledger.events if isinstance(one, PointsAwarded)]
    assert [(one.subject, one.alias) for one in told] == [("c-1", "c-2"), ("c-1", None)]
    assert ledger.accounts[CustomerId("c-2")].active == 20
