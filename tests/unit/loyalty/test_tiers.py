"""Tiers rise at once and fall at a review only."""

from datetime import UTC, datetime, timedelta

import pytest

from services.loyalty.domain.program import SHIPPED_TIERS, Program, Tier, add_months
from services.loyalty.domain.tiers import next_tier, tier_for
from shared.events.commerce import OrderCompleted, OrderRefunded
from shared.events.engagement import CustomerMerged, CustomerUnmerged
from shared.events.loyalty import TierChanged
from shared.ids import CustomerId
from shared.testing.builders import NOON, event
from tests.unit.loyalty.ledger_in_memory import Ledger, happening

ADA, BOB = CustomerId("c-1"), CustomerId("c-2")
DAY = timedelta(days=1)


def moves(ledger: Ledger) -> list[tuple[str | None, str]]:
    return [
        (one.data.previous, one.data.current)
        for one in ledger.events
        if isinstance(one, TierChanged)
    ]


@pytest.mark.parametrize(
    ("points", "tier"), [(0, "bronze"), (999, "bronze"), (1000, "silver"), (5000, "gold")]
)
def test_a_tier_is_reached_at_its_points(points: int, tier: str) -> None:
    assert tier_for(SHIPPED_TIERS, points).name == tier


def test_above_the_highest_tier_there_is_none() -> None:
    assert next_tier(SHIPPED_TIERS, "gold") is None
    assert next_tier(SHIPPED_TIERS, None) == Tier("silver", 1_000)


@pytest.mark.parametrize(
    ("day", "months", "expected"),
    [
        ((2026, 1, 31), 1, (2026, 2, 28)),
        ((2024, 2, 29), 24, (2026, 2, 28)),
        ((2026, 3, 31), -12, (2025, 3, 31)),
        ((2026, 12, 5), 1, (2027, 1, 5)),
    ],
)
def test_months_end_where_a_month_is_too_short(
    day: tuple[int, int, int], months: int, expected: tuple[int, int, int]
) -> None:
    start, end = datetime(*day, tzinfo=UTC), datetime(*expected, tzinfo=UTC)
    assert add_months(start, months) == end


def test_a_member_rises_with_the_order_that_reaches_the_tier() -> None:
    ledger = Ledger()
    ledger.handle(
        event(OrderCompleted, total="999"),
        event(OrderCompleted, order_id="o-2", total="1", at=NOON + DAY),
        event(OrderCompleted, order_id="o-3", total="4000", at=NOON + 2 * DAY),
    )
    assert moves(ledger) == [("bronze", "silver"), ("silver", "gold")]
    assert ledger.accounts[ADA].tier_since == NOON + 2 * DAY


def test_a_refund_below_the_tier_counts_at_the_next_review_only() -> None:
    ledger = Ledger()
    ledger.handle(
        event(OrderCompleted, total="1000"), event(OrderRefunded, amount="500", at=NOON + DAY)
    )
    assert ledger.accounts[ADA].tier == "silver"
    ledger.catch_up(add_months(NOON, 1) - DAY)
    assert ledger.accounts[ADA].tier == "silver"
    ledger.catch_up(add_months(NOON, 1))
    assert moves(ledger) == [("bronze", "silver"), ("silver", "bronze")]
    assert ledger.accounts[ADA].review_at is None


def test_points_older_than_the_window_no_longer_hold_a_tier() -> None:
    ledger = Ledger()
    ledger.handle(event(OrderCompleted, total="1000"))
    ledger.catch_up(add_months(NOON, 11))
    assert ledger.accounts[ADA].tier == "silver"
    ledger.catch_up(add_months(NOON, 13))
    assert ledger.accounts[ADA].tier == "bronze"
    change = next(one for one in reversed(ledger.events) if isinstance(one, TierChanged))
    assert (change.time, change.data.reason) == (
        add_months(NOON, 12),
        "review: 0 points in 12 months",
    )


def test_a_late_review_job_changes_nothing_of_the_result() -> None:
    history = [
        event(OrderCompleted, total="1000"),
        event(OrderCompleted, order_id="o-2", total="700", at=NOON + 300 * DAY),
        event(OrderCompleted, order_id="o-3", total="700", at=NOON + 400 * DAY),
    ]
    punctual, late = Ledger(), Ledger()
    for one in history:
        punctual.catch_up(one.time)
        punctual.handle(one)
        late.handle(one)
    assert punctual.events == late.events
    assert punctual.accounts == late.accounts


def test_points_that_do_not_qualify_lift_nobody() -> None:
    ledger = Ledger()
    books, told = ledger.books(), happening(event(OrderCompleted), NOON)
    books.award(told, 6000, told.why("goodwill"), qualifying=False)
    ledger.save(books)
    assert ledger.accounts[ADA].active == 6000
    assert moves(ledger) == []


def test_linked_ids_reach_a_tier_together_and_parting_undoes_it() -> None:
    ledger = Ledger(Program())
    ledger.handle(
        event(OrderCompleted, customer=ADA, total="600"),
        event(OrderCompleted, customer=BOB, order_id="o-2", total="600"),
    )
    alone = dict(ledger.accounts)
    told = happening(event(OrderCompleted, customer=BOB), NOON + DAY)
    books = ledger.books()
    books.relate(told, ADA, lambda: books.people.merge(BOB, ADA))
    assert books.tier_of(ADA) == "silver"
    books.relate(told, ADA, lambda: books.people.unmerge(BOB))
    assert books.tier_of(ADA) == "bronze"
    ledger.save(books)
    assert ledger.accounts == alone
    assert moves(ledger) == [("bronze", "silver"), ("silver", "bronze"), ("silver", "bronze")]


def test_who_parts_is_told_the_tier_it_keeps() -> None:
    """What was told of it last is from before: of linked ids only the one that stands for them is
    told."""
    ledger = Ledger()
    ledger.handle(event(OrderCompleted, customer=BOB, total="1200"))
    ledger.relate(event(CustomerMerged, customer=BOB, survivor_id=ADA))
    ledger.handle(
        event(OrderCompleted, customer=ADA, alias=BOB, order_id="o-2", total="4000", at=NOON + DAY)
    )
    ledger.relate(event(CustomerUnmerged, customer=BOB, survivor_id=ADA, at=NOON + 2 * DAY))
    told = [
        (one.subject, one.data.previous, one.data.current)
        for one in ledger.events
        if isinstance(one, TierChanged)
    ]
    assert told == [
        (BOB, "bronze", "silver"),
        (ADA, "bronze", "silver"),
        (ADA, "silver", "gold"),
        (ADA, "gold", "bronze"),
        (BOB, "gold", "gold"),
    ]


def test_of_an_id_without_points_nothing_is_told_when_it_parts() -> None:
    ledger = Ledger()
    ledger.relate(event(CustomerMerged, customer=BOB, survivor_id=ADA))
    ledger.relate(event(CustomerUnmerged, customer=BOB, survivor_id=ADA))
    assert moves(ledger) == []
