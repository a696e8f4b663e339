"""Thresholds with hysteresis: a score enters at one level and leaves at another, lower one.

Between the two levels nothing happens, and after a change nothing happens for the dwell time, so
noise cannot make a customer flap. A change that the dwell time holds back is made at the first
assessment after it, if the score still says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Literal, NamedTuple

from shared.events.scoring import RiskBand

Direction = Literal["up", "down"]
CHURN_RISK = "churn_risk"


@dataclass(frozen=True, slots=True)
class Threshold:
    """`metric` passes up at `enter` and down at `exit`; a silent one only makes bands."""

    name: str
    metric: str
    enter: float
    exit: float
    dwell_seconds: int = 0
    announced: bool = True

    def __post_init__(self) -> None:
        assert self.exit < self.enter, f"{self.name}: no gap between exit and enter"
        # Reviews look for whole points: a level between two would be passed unseen in silence.
        assert round(self.enter, 2) == self.enter, f"{self.name}: not a point"


class Position(NamedTuple):
    """On which side of a threshold a customer is, and since when (seconds since 1970)."""

    above: bool
    since: int


class Crossing(NamedTuple):
    """A threshold was passed; `level` is the one that counted."""

    threshold: Threshold
    direction: Direction
    value: float
    level: float


Positions = Mapping[str, Position]
NOWHERE: Positions = MappingProxyType({})

THRESHOLDS: tuple[Threshold, ...] = (
    Threshold("churn_risk.medium", CHURN_RISK, enter=0.40, exit=0.35, announced=False),
    Threshold("churn_risk.high", CHURN_RISK, enter=0.70, exit=0.60),
    Threshold("churn_risk.critical", CHURN_RISK, enter=0.85, exit=0.78),
)
_BANDS: tuple[tuple[str, RiskBand], ...] = (
    ("churn_risk.critical", "critical"),
    ("churn_risk.high", "high"),
    ("churn_risk.medium", "medium"),
)


def cross(
    previous: Positions,
    values: Mapping[str, float],
    thresholds: Sequence[Threshold],
    now: datetime,
) -> tuple[Positions, tuple[Crossing, ...]]:
    """The positions after seeing `values` by metric, and what was passed, in the table's order.

    A threshold never seen before counts as not passed.
    """
    at = int(now.timestamp())
    positions: dict[str, Position] | None = None
    crossings: list[Crossing] = []
    for threshold in thresholds:
        value = values.get(threshold.metric)
        if value is None:
            continue
        before = previous.get(threshold.name)
        crossing = _passed(threshold, before, value, at)
        if crossing is not None:
            positions = positions if positions is not None else dict(previous)
            positions[threshold.name] = Position(crossing.direction == "up", at)
            crossings.append(crossing)
    return (previous if positions is None else positions), tuple(crossings)


def _passed(
    threshold: Threshold, before: Position | None, value: float, at: int
) -> Crossing | None:
    above = before is not None and before.above
    level = threshold.exit if above else threshold.enter
    moved = value <= level if above else value >= level
    if not moved or (before is not None and at - before.since < threshold.dwell_seconds):
        return None
    return Crossing(threshold, "down" if above else "up", value, level)


def of_both(one: Positions, other: Positions) -> Positions:
    """The positions of two who turned out to be one: above where either was."""
    both = dict(one)
    for name, theirs in other.items():
        both[name] = max(both.get(name, theirs), theirs)
    return both


def band_of(positions: Positions) -> RiskBand:
    """The churn band of a customer: the highest threshold that is passed."""
    for name, band in _BANDS:
        position = positions.get(name)
        if position is not None and position.above:
            return band
    return "low"
