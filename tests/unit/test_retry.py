"""Waiting, as arithmetic."""

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.retry import Backoff, Schedule

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def test_a_backoff_doubles_up_to_its_limit_and_never_ends() -> None:
    assert list(islice(Backoff(0.5, 3.0).delays(), 6)) == [0.5, 1.0, 2.0, 3.0, 3.0, 3.0]


def test_a_schedule_is_followed_and_then_over() -> None:
    schedule = Schedule((5, 300), jitter_ratio=0)
    waits = [schedule.next_at(attempts, NOW, 0.3) for attempts in (0, 1, 2, 3)]
    assert waits == [None, NOW + timedelta(seconds=5), NOW + timedelta(seconds=300), None]


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 80), (0.5, 100), (0.75, 110)])
def test_jitter_spreads_evenly_around_the_wait(chance: float, seconds: int) -> None:
    assert Schedule((100,)).next_at(1, NOW, chance) == NOW + timedelta(seconds=seconds)


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 3))
def test_jitter_stays_within_its_ratio(chance: float, attempts: int) -> None:
    schedule = Schedule((10, 100, 1000), 0.2)
    due = schedule.next_at(attempts, NOW, chance)
    assert due is not None
    wait = schedule.waits_seconds[attempts - 1]
    assert 0.8 * wait <= (due - NOW).total_seconds() <= 1.2 * wait
