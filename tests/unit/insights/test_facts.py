"""A batch of events as facts."""

from dataclasses import asdict
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.insights.domain.facts import (
    ACTIVITY,
    Batch,
    Operation,
    add_first_seen,
    add_sales,
    add_tally,
    facts_of,
    latest_of_endpoints,
)
from services.insights.domain.identity import Veil, erasure_key, pseudonym_of
from shared.events.campaigns import InterventionSuppressed
from shared.events.commerce import OrderCompleted, OrderRefunded
from shared.events.engagement import CustomerErased, CustomerUpdated, MessageOpened, PageViewed
from shared.events.envelope import Event
from shared.events.loyalty import PointsAwarded, PointsReversed
from shared.events.support import TicketOpened
from shared.events.topics import TOPICS
from shared.ids import CustomerId
from shared.testing.builders import NOON, event
from tests.integration.insights.history import assessed

LATER = NOON + timedelta(hours=1)


def tallied(*events: Event) -> dict[tuple[str, str], tuple[int, int, bool]]:
    batch = facts_of(events, {})
    return {
        (key.kind, key.rule): (one.events, one.points, one.active)
        for key, one in batch.tallies.items()
    }


def test_facts_stay_with_the_id_that_was_named() -> None:
    batch = facts_of([event(OrderCompleted, customer="c-1", alias="anonymous-7")], {})
    assert {fact.customer for fact in batch.facts.values()} == {"anonymous-7"}
    assert set(batch.first_seen) == {"anonymous-7"}


def test_an_order_counts_once_with_its_earliest_event() -> None:
    first = event(OrderCompleted, id="b", at=NOON, total="10")
    again = event(OrderCompleted, id="a", at=LATER, total="11")
    for events in ([first, again], [again, first]):
        assert facts_of(events, {}).orders[CustomerId("c-1"), "o-1"].total == Decimal(10)


def test_points_are_summed_without_their_sign() -> None:
    moved: dict[str, Any] = {"entry_id": "n-1", "balance": 5, "reason": "r"}
    assert tallied(
        event(PointsAwarded, points=12, **moved), event(PointsReversed, points=-7, **moved)
    ) == {("points.awarded", ""): (1, 12, False), ("points.reversed", ""): (1, 7, False)}


def test_suppressions_are_counted_by_rule() -> None:
    planned: dict[str, Any] = {
        "intervention_id": "i-1",
        "journey": "j",
        "journey_version": 1,
        "step": "s",
        "channel": "email",
        "reason": "words",
    }
    assert tallied(
        event(InterventionSuppressed, rule="consent", **planned),
        event(InterventionSuppressed, rule="consent", **planned),
        event(InterventionSuppressed, **planned),
    ) == {
        ("intervention.suppressed", "consent"): (2, 0, False),
        ("intervention.suppressed", "unnamed"): (1, 0, False),
    }


def test_a_machine_that_opens_a_message_makes_nobody_active() -> None:
    assert tallied(event(MessageOpened, machine=True), event(MessageOpened)) == {
        ("message.opened", "machine"): (1, 0, False),
        ("message.opened", ""): (1, 0, True),
    }


def test_no_text_trait_or_address_is_kept() -> None:
    secret = "Mary Poppins"
    batch = facts_of(
        [
            event(TicketOpened, subject=secret, text=secret),
            event(CustomerUpdated, name=secret, email="mary@example.org", custom={"x": secret}),
            event(PageViewed, url=f"/account/{secret}", context={"ip": "10.1.2.3"}),
        ],
        {},
    )
    assert "Mary" not in str(batch)
    assert "mary@" not in str(batch)
    assert "10.1.2.3" not in str(batch)


def test_the_past_of_an_erased_customer_is_counted_without_a_name() -> None:
    pseudonym = pseudonym_of("x-1")
    veils = {erasure_key(CustomerId("c-1")): [Veil(LATER, pseudonym)]}
    batch = facts_of([event(OrderCompleted, order_id="o-77", total="10")], veils)
    assert batch.facts == {}
    assert [key.customer for key in batch.tallies] == [pseudonym]
    assert "o-77" not in str(batch)
    assert "c-1" not in str(batch)
    assert [order.total for order in batch.orders.values()] == [Decimal(10)]


def test_the_erasure_itself_leaves_no_entry() -> None:
    batch = facts_of([event(CustomerErased, erasure_id="x-1")], {})
    assert batch.facts == {}
    assert "c-1" not in str(batch)


@pytest.mark.parametrize("ids", [("a", "b"), ("b", "a")])
def test_of_two_words_of_the_same_time_the_later_told_holds(ids: tuple[str, str]) -> None:
    risks = zip(ids, (0.9, 0.2), strict=True)
    said = [assessed("c-1", NOON, risk, "high", "loyal", id=name) for name, risk in risks]
    assert facts_of(said, {}).standings[CustomerId("c-1")].risk == 0.2

    told = [Operation("ep-1", NOON, name, "/webhooks", f"kind-{name}") for name in ids]
    assert latest_of_endpoints(told)["ep-1"].kind == f"kind-{ids[1]}"


def test_activity_names_only_what_arrives_on_public_topics() -> None:
    public = {kind for topic in TOPICS if topic.public for kind in topic.events}
    assert set(ACTIVITY) <= public


def merged(one: Batch, other: Batch) -> Batch:
    """What saving both after one another leaves."""
    both = Batch(facts={**one.facts, **other.facts})
    for part in (one, other):
        add_sales(both, part)
        for key, tally in part.tallies.items():
            add_tally(both, key, tally)
        for customer, seen_at in part.first_seen.items():
            add_first_seen(both, customer, seen_at)
    return both


some_events = st.lists(
    st.one_of(
        st.builds(
            lambda customer, order, minute, total: event(
                OrderCompleted,
                customer=customer,
                order_id=order,
                at=NOON + timedelta(minutes=minute),
                total=total,
            ),
            st.sampled_from(["c-1", "c-2"]),
            st.sampled_from(["o-1", "o-2"]),
            st.integers(0, 5_000),
            st.integers(0, 100),
        ),
        st.builds(
            lambda order, minute: event(
                OrderRefunded, order_id=order, at=NOON + timedelta(minutes=minute)
            ),
            st.sampled_from(["o-1", "o-2"]),
            st.integers(0, 5_000),
        ),
    ),
    max_size=15,
)


@given(some_events, st.integers(0, 15), st.randoms(use_true_random=False))
def test_batches_and_order_do_not_show(events: list[Any], border: int, dice: Any) -> None:
    whole = facts_of(events, {})
    shuffled = list(events)
    dice.shuffle(shuffled)
    parts = merged(facts_of(shuffled[:border], {}), facts_of(shuffled[border:], {}))
    assert asdict(parts) == asdict(whole)
