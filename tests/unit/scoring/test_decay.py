"""Decayed counters: exact when added, halved by each half-life when read."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.domain.decay import (
    DAY_SECONDS,
    HALF_LIVES_DAYS,
    LEVEL_MAX,
    level,
    levels,
    term,
)
from tests.unit.scoring.builders import quick

AT = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp())
seconds = st.integers(-(2**33), 2**38)


def test_one_event_counts_one_now_and_half_a_half_life_later() -> None:
    counter = term(AT, 14)
    assert level(counter, 14, AT) == pytest.approx(1.0)
    assert level(counter, 14, AT + 14 * DAY_SECONDS) == pytest.approx(0.5)
    assert level(counter, 14, AT + 140 * DAY_SECONDS) == pytest.approx(2**-10)


def test_events_of_different_ages_add_up() -> None:
    counter = term(AT, 14) + term(AT - 14 * DAY_SECONDS, 14) + term(AT - 28 * DAY_SECONDS, 14)
    assert level(counter, 14, AT) == pytest.approx(1.75, rel=0.01)


def test_counters_of_all_half_lives_are_read_at_once_as_one_by_one() -> None:
    counters = [term(AT - 1_000, days) for days in HALF_LIVES_DAYS]
    expected = [level(one, days, AT) for one, days in zip(counters, HALF_LIVES_DAYS, strict=True)]
    assert levels([*counters, 0, 0, *counters], AT) == [*expected, 0.0, 0.0, *expected]


@quick
@given(st.lists(seconds, max_size=6), seconds)
def test_whatever_the_clocks_say_a_level_is_finite_and_not_negative(
    times: list[int], at: int
) -> None:
    counter = sum(term(one, 14) for one in times)
    assert counter.bit_length() < 4_000
    assert 0.0 <= level(counter, 14, at) <= LEVEL_MAX
