"""Thresholds: hysteresis, dwell, and never a flap."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.domain.bands import (
    CHURN_RISK,
    THRESHOLDS,
    Position,
    Positions,
    Threshold,
    band_of,
    cross,
)
from shared.testing.builders import NOON
from tests.unit.scoring.builders import quick

HIGH = Threshold("high", "m", enter=0.7, exit=0.6)
CALM = Threshold("high", "m", enter=0.7, exit=0.6, dwell_seconds=3_600)


def passed(values: list[float], threshold: Threshold, minutes: int = 1) -> list[str]:
    """Directions passed by values, some minutes apart."""
    positions: Positions = {}
    directions: list[str] = []
    for number, value in enumerate(values):
        now = NOON + timedelta(minutes=minutes * number)
        positions, crossings = cross(positions, {"m": value}, (threshold,), now)
        directions += [one.direction for one in crossings]
    return directions


@pytest.mark.parametrize(
    ("values", "directions"),
    [
        ([0.5, 0.69], []),
        ([0.5, 0.7], ["up"]),
        ([0.7, 0.65, 0.7, 0.61], ["up"]),
        ([0.7, 0.6], ["up", "down"]),
        ([0.9, 0.1, 0.9], ["up", "down", "up"]),
    ],
)
def test_it_enters_at_one_level_and_leaves_at_another(
    values: list[float], directions: list[str]
) -> None:
    assert passed(values, HIGH) == directions


@quick
@given(st.lists(st.floats(0.601, 0.699), min_size=1, max_size=50), st.booleans())
def test_noise_between_the_levels_never_crosses(noise: list[float], above: bool) -> None:
    assert len(passed([0.7 if above else 0.6, *noise], HIGH)) == int(above)


@quick
@given(st.lists(st.floats(0, 1), max_size=60))
def test_within_the_dwell_time_there_is_at_most_one_crossing(values: list[float]) -> None:
    assert len(passed(values, CALM, minutes=1)) <= 1


@quick
@given(st.lists(st.floats(0, 1), max_size=40))
def test_directions_alternate_and_begin_with_up(values: list[float]) -> None:
    directions = passed(values, HIGH)
    assert directions == (["up", "down"] * len(directions))[: len(directions)]


def test_a_jump_passes_all_levels_on_its_way() -> None:
    positions, crossings = cross({}, {CHURN_RISK: 0.99}, THRESHOLDS, NOON)
    assert [one.threshold.name for one in crossings] == [one.name for one in THRESHOLDS]
    assert band_of(positions) == "critical"


def test_a_metric_without_a_value_moves_nothing() -> None:
    before = {"high": Position(True, 0)}
    assert cross(before, {}, (HIGH,), NOON) == (before, ())


def test_a_threshold_without_a_gap_is_refused() -> None:
    with pytest.raises(AssertionError, match="gap"):
        Threshold("flat", "m", enter=0.5, exit=0.5)
