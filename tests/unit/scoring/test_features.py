"""The fold is a commutative group: order, grouping and late arrival never show."""

import random
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.scoring.domain.features import EMPTY, Count, combine, fold
from services.scoring.domain.orders import UNKNOWN, Order, join, order_of
from services.scoring.domain.packing import pack, pack_refunds, unpack, unpack_refunds
from services.scoring.handlers.world import World
from shared.events.commerce import OrderCancelled, OrderCompleted, OrderRefunded
from shared.events.engagement import MessageOpened, SurveyAnswered
from shared.events.envelope import Event
from shared.events.support import TicketOpened
from shared.ids import CustomerId
from shared.testing.builders import NOON, event
from tests.unit.scoring.builders import folded, happenings, quick

A, B = CustomerId("a"), CustomerId("b")
many = st.lists(happenings, max_size=12)


@quick
@given(many, st.randoms(use_true_random=False))
def test_any_order_of_events_gives_the_same_bytes(events: list[Event], dice: random.Random) -> None:
    shuffled = list(events)
    dice.shuffle(shuffled)
    assert pack(folded(shuffled)) == pack(folded(events))


@quick
@given(many, st.integers(0, 12))
def test_grouping_does_not_show(events: list[Event], cut: int) -> None:
    orders: dict[str, Order] = {}
    first = fold(EMPTY, events[:cut], orders)
    assert pack(fold(first, events[cut:], orders)) == pack(folded(events))


@quick
@given(many, many, many)
def test_combining_is_commutative_and_associative_with_a_neutral_element(
    one: list[Event], two: list[Event], three: list[Event]
) -> None:
    a, b, c = folded(one), folded(two), folded(three)
    assert pack(combine(a, b)) == pack(combine(b, a))
    assert pack(combine(combine(a, b), c)) == pack(combine(a, combine(b, c)))
    assert combine(a, EMPTY) == a == combine(EMPTY, a)


@quick
@given(many, many)
def test_states_of_two_ids_combine_to_the_state_of_one_person(
    one: list[Event], two: list[Event]
) -> None:
    """Whatever each of them knows of the other's orders."""
    world = World({}, {}, {}, {})
    for name, events in ((A, one), (B, two)):
        orders = world.orders.setdefault(name, {})
        world.put(name, fold(EMPTY, events, orders), NOON)
    world.link(B, A)
    world.gather_all(A)
    both = world.combined(A)
    assert both is not None
    assert pack(both) == pack(folded([*one, *two]))


@quick
@given(many)
def test_a_state_survives_packing(events: list[Event]) -> None:
    state = folded(events)
    assert unpack(pack(state)) == state


@quick
@given(many, st.data())
def test_an_order_told_again_changes_nothing_but_the_times_seen(
    events: list[Event], data: st.DataObject
) -> None:
    orders = [one for one in events if isinstance(one, OrderCompleted | OrderRefunded)]
    if not orders:
        return
    again = data.draw(st.sampled_from(orders)).model_copy(update={"id": "another-id"})
    assert folded([*events, again]) == folded(events)


@quick
@given(st.lists(happenings, max_size=12))
def test_joining_what_is_known_of_an_order_is_idempotent(events: list[Event]) -> None:
    order = UNKNOWN
    for one in events:
        if isinstance(one, OrderCompleted | OrderRefunded | OrderCancelled):
            order = join(order, order_of(one))
    assert join(order, order) == order
    assert unpack_refunds(pack_refunds(order)) == order.refunds


def test_a_refund_never_takes_more_than_the_order_was_worth() -> None:
    state = folded(
        [
            event(OrderCompleted, order_id="o-1", total="10.00"),
            event(OrderRefunded, order_id="o-1", refund_id="r-1", amount="8.00"),
            event(OrderRefunded, order_id="o-1", refund_id="r-2", amount="8.00"),
        ]
    )
    assert state.money["GBP"].spent == state.money["GBP"].refunded == 1_000


def test_two_orders_of_one_day_are_one_purchase_day_and_two_orders() -> None:
    state = folded(
        [
            event(OrderCompleted, order_id="o-1"),
            event(OrderCompleted, order_id="o-2", at=NOON + timedelta(hours=3)),
        ]
    )
    assert list(state.days.values()) == [2]
    assert state.money["GBP"].orders == 2


def test_opens_by_machines_are_not_engagement() -> None:
    state = folded([event(MessageOpened, machine=True)])
    assert not any(state.warmth)
    assert state.counts[Count.OPENED] == 0


def test_surveys_keep_their_scales_apart() -> None:
    state = folded([event(SurveyAnswered, score=9), event(SurveyAnswered, survey="csat", score=10)])
    assert state.counts[Count.NPS_SUM] == 9
    assert state.counts[Count.CSAT_SUM] == 5


def test_texts_of_two_sources_with_one_id_keep_their_sentiments() -> None:
    said = [event(TicketOpened, id="1", source=source, text="…") for source in ("/a", "/b")]
    state = fold(EMPTY, said, {}, {("/a", "1"): -9_000, ("/b", "1"): 5_000})
    assert state.counts[Count.SENTIMENTS] == 2
    assert state.counts[Count.SENTIMENT_SUM] == -4_000
