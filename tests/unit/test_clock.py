"""Where now comes from."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.clock import EPOCH, EventClock, ManualClock, SystemClock

HOUR = timedelta(hours=1)


def test_on_the_wall_an_event_is_judged_when_it_is_handled() -> None:
    clock = SystemClock()
    before = clock.now()
    clock.observe(before + 1000 * HOUR)
    assert before <= clock.at(EPOCH) <= clock.now() < before + HOUR


def test_manual_time_moves_only_when_told() -> None:
    clock = ManualClock(EPOCH)
    clock.observe(EPOCH + HOUR)
    assert clock.now() == EPOCH
    clock.advance(HOUR)
    assert clock.now() == clock.at(EPOCH) == EPOCH + HOUR
    clock.set(EPOCH)
    assert clock.now() == EPOCH


@given(st.lists(st.integers(-1000, 1000)))
def test_the_event_clock_is_the_latest_event_in_whatever_order_they_come(hours: list[int]) -> None:
    clock = EventClock()
    for hour in hours:
        clock.observe(EPOCH + hour * HOUR)
    assert clock.now() == EPOCH + max([0, *hours]) * HOUR


def test_on_the_event_clock_an_event_is_judged_as_of_its_own_time() -> None:
    clock = EventClock()
    clock.observe(EPOCH + HOUR)
    assert clock.at(EPOCH) == EPOCH
