"""Links between ids: who is whose customer, also while a merge and its undoing cross."""

from services.scoring.handlers.world import World
from shared.ids import CustomerId

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
