"""Decayed counters: exact when added, halved by each half-life when read."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.domain.decay import DAY_SECONDS, LEVEL_MAX, level, term
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


@quick
@given(st.lists(seconds, max_size=6), seconds)
def test_whatever_the_clocks_say_a_level_is_finite_and_not_negative(
    times: list[int], at: int
) -> None:
    counter = sum(term(one, 14) for one in times)
    assert counter.bit_length() < 4_000
    assert 0.0 <= level(counter, 14, at) <= LEVEL_MAX
