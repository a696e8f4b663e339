"""Links between ids: who is whose customer, also while a merge and its undoing cross."""

import random

from hypothesis import given
from hypothesis import strategies as st

from services.scoring.domain.packing import pack
from services.scoring.handlers.events import Planner
from services.scoring.handlers.world import World
from shared.events.commerce import OrderCancelled, OrderCompleted, OrderRefunded
from shared.events.engagement import CustomerMerged, SessionStarted
from shared.events.envelope import Event
from shared.ids import CustomerId
from shared.testing.builders import NOON, event
from tests.unit.scoring.builders import folded, happenings, quick

A, B, C = CustomerId("a"), CustomerId("b"), CustomerId("c")


def linked(*links: tuple[CustomerId, CustomerId]) -> World:
    world = World({}, {}, {}, {})
    for original, parent in links:
        world.link(original, parent)
    return world


def test_an_id_without_links_is_its_own_customer() -> None:
    assert linked().root(A) == A


def test_links_lead_through_to_the_end_whatever_their_order() -> None:
    for world in (linked((A, B), (B, C)), linked((B, C), (A, B))):
        assert [world.root(one) for one in (A, B, C)] == [C, C, C]
        assert world.members(C) == [A, B, C]


def test_undoing_a_merge_takes_along_what_was_merged_into_it() -> None:
    world = linked((A, B), (B, C), (B, B))
    assert [world.root(one) for one in (A, B, C)] == [B, B, C]
    assert world.members(C) == [C]


def test_a_circle_has_one_root_until_the_undoing_arrives() -> None:
    world = linked((A, B), (B, A))
    assert world.root(A) == world.root(B) == A
    world.link(A, A)
    assert world.root(B) == A


def lived(told: list[tuple[CustomerId, Event]], merge: int) -> World:
    """The world after these events; before the one at `merge`, B turns out to be A."""
    world = World({}, {}, {}, {})
    planner = Planner(world, {}, ids_max=10)
    for place, (name, one) in enumerate(told):
        if place == merge:
            planner.take(event(CustomerMerged, customer=B, survivor_id=A), NOON)
        named = {"alias": B, "subject": A} if name == B and place >= merge else {"subject": name}
        planner.take(one.model_copy(update=named), NOON)
    if merge >= len(told):
        planner.take(event(CustomerMerged, customer=B, survivor_id=A), NOON)
    return world


def kept(world: World) -> dict[CustomerId, tuple[str, object]]:
    return {
        name: (pack(stored.state), world.orders.get(name) or {})
        for name, stored in world.states.items()
    }


@quick
@given(
    st.lists(st.tuples(st.sampled_from([A, B]), happenings), min_size=1, max_size=12),
    st.integers(0, 12),
    st.integers(0, 12),
    st.randoms(use_true_random=False),
)
def test_whenever_two_ids_become_one_and_whichever_an_order_names_all_ends_the_same(
    told: list[tuple[CustomerId, Event]], merge: int, other: int, dice: random.Random
) -> None:
    world = lived(told, merge)
    together = world.combined(A)
    assert together is not None
    assert pack(together) == pack(folded([one for _, one in told]))
    shuffled = list(told)
    dice.shuffle(shuffled)
    assert kept(lived(shuffled, other)) == kept(world)


def test_refunds_and_cancellations_follow_the_order_whatever_id_they_name() -> None:
    placed = event(OrderCompleted, order_id="o-1", total="100.00")
    refunds = [
        event(OrderRefunded, order_id="o-1", refund_id=name, amount="80.00")
        for name in ("r-1", "r-2")
    ]
    for told in (
        [(B, placed), (A, refunds[0]), (A, refunds[1])],
        [(A, refunds[0]), (A, refunds[1]), (B, placed)],
        [(A, refunds[0]), (B, placed), (B, refunds[1])],
    ):
        for merge in range(4):
            world = lived(list(told), merge)
            money = world.states[B].state.money["GBP"]
            assert (money.orders, money.spent, money.refunded) == (1, 10_000, 10_000)
            assert not world.states[A].state.money
    gone = lived([(B, placed), (A, event(OrderCancelled, order_id="o-1"))], merge=1)
    assert not gone.states[B].state.days
    assert not gone.states[B].state.money


def test_a_kiosk_has_only_so_many_ids_and_the_rest_stand_alone() -> None:
    world = World({}, {}, {}, {})
    planner = Planner(world, {}, ids_max=3)
    devices = [CustomerId(f"d-{number}") for number in range(5)]
    for device in devices:
        planner.take(event(SessionStarted, customer=A, alias=device), NOON)
    assert world.members(A) == [A, *devices[:2]]
    assert [world.root(one) for one in devices[2:]] == devices[2:]


def test_only_links_that_changed_are_written() -> None:
    world = linked(*((CustomerId(f"d-{number}"), A) for number in range(50)))
    world.changed_links.clear()
    world.link(B, A)
    assert world.changed_links == {B}
