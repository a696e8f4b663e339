"""Slots: failing endpoints share half of them, and each of them has its turn."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from services.webhooks.domain.fairness import allot, failing_max
from shared.ids import EndpointId
from shared.testing.builders import NOON

NAMES = st.integers(0, 30).map(lambda number: EndpointId(f"ep_{number}"))


@settings(deadline=None)
@given(st.dictionaries(NAMES, st.integers(0, 20)), st.sets(NAMES), st.integers(-5, 40))
def test_failing_endpoints_share_their_room_and_take_nothing_from_the_others(
    wanted: dict[EndpointId, int], bad: set[EndpointId], room: int
) -> None:
    failing = sorted(bad & wanted.keys())
    slots = allot(wanted, failing, room, NOON)
    assert slots.keys() == wanted.keys()
    assert all(0 <= slots[one] <= wanted[one] for one in wanted)
    assert all(slots[one] == wanted[one] for one in wanted if one not in failing)
    assert sum(slots[one] for one in failing) == min(
        max(0, room), sum(wanted[one] for one in failing)
    )


def test_every_failing_endpoint_has_its_turn() -> None:
    wanted = {EndpointId(f"ep_{number}"): 2 for number in range(20)}
    served = set()
    for second in range(200):
        slots = allot(wanted, list(wanted), 2, NOON + timedelta(seconds=second))
        served |= {one for one, many in slots.items() if many}
    assert served == wanted.keys()


def test_one_slot_is_left_to_them_whatever_the_limit() -> None:
    assert [failing_max(limit) for limit in (1, 2, 9, 200)] == [1, 1, 4, 100]
