"""Where a customer stands after an assessment, and what has changed since the one before."""

from datetime import datetime
from typing import Literal, NamedTuple

from services.scoring.domain.bands import (
    CHURN_RISK,
    NOWHERE,
    THRESHOLDS,
    Crossing,
    Positions,
    band_of,
    cross,
    of_both,
)
from services.scoring.domain.stages import Habit, lifecycle_of, segment_of
from shared.events.scoring import RiskBand, ValueTier

HealthBand = Literal["poor", "fair", "good"]
FAIR_FROM = 40.0
GOOD_FROM = 70.0
# A score that moved by this much since it was last published is published again.
POINT = 1.0
TIERS: tuple[ValueTier, ...] = ("low", "medium", "high")


class Reading(NamedTuple):
    """One row's numbers as far as decisions need them. `risk` is a probability."""

    purchases: int
    silent_days: int
    gap_days: int
    risk: float
    engagement: float
    health: float
    predicted_12m: float
    tier: int


class Standing(NamedTuple):
    """The bands and stages in force, and the scores as they were last published."""

    band: RiskBand
    health_band: HealthBand
    segment: str
    lifecycle: str
    tier: ValueTier
    risk: float
    engagement: float
    health: float
    predicted_12m: float
    positions: Positions = NOWHERE


class Step(NamedTuple):
    """The new standing; `previous` is the one before; what of it is news."""

    standing: Standing
    previous: Standing | None
    crossings: tuple[Crossing, ...]
    published: bool

    @property
    def segment_changed(self) -> bool:
        return self.previous is None or self.previous.segment != self.standing.segment

    @property
    def lifecycle_changed(self) -> bool:
        return self.previous is None or self.previous.lifecycle != self.standing.lifecycle


def step(
    previous: Standing | None, reading: Reading, now: datetime, inherited: Positions = NOWHERE
) -> Step:
    """What an assessment at `now` makes of a standing.

    `inherited` are the positions of an id just merged into this one: what was told of it is not
    told again.
    """
    positions = previous.positions if previous is not None else NOWHERE
    if inherited:
        positions = of_both(positions, inherited)
    positions, crossings = cross(positions, {CHURN_RISK: reading.risk}, THRESHOLDS, now)
    standing = _standing(reading, positions)
    published = previous is None or _is_news(previous, standing)
    if previous is not None and not published:
        standing = _with_scores_of(previous, standing)
    return Step(
        standing, previous, tuple(one for one in crossings if one.threshold.announced), published
    )


def _standing(reading: Reading, positions: Positions) -> Standing:
    band, tier = band_of(positions), TIERS[reading.tier]
    habit = Habit(reading.purchases, reading.silent_days, reading.gap_days, band, tier)
    return Standing(
        band=band,
        health_band=health_band(reading.health),
        segment=segment_of(habit),
        lifecycle=lifecycle_of(habit),
        tier=tier,
        risk=reading.risk,
        engagement=reading.engagement,
        health=reading.health,
        predicted_12m=reading.predicted_12m,
        positions=positions,
    )


def health_band(health: float) -> HealthBand:
    """The band of a health score."""
    if health < FAIR_FROM:
        return "poor"
    return "fair" if health < GOOD_FROM else "good"


def _is_news(previous: Standing, standing: Standing) -> bool:
    return (
        previous.band != standing.band
        or previous.segment != standing.segment
        or previous.lifecycle != standing.lifecycle
        or previous.health_band != standing.health_band
        or previous.tier != standing.tier
        or abs(previous.risk - standing.risk) * 100 >= POINT
        or abs(previous.engagement - standing.engagement) >= POINT
        or abs(previous.health - standing.health) >= POINT
    )


def _with_scores_of(published: Standing, standing: Standing) -> Standing:
    """Scores stay as published until they moved by a point, so that small steps add up."""
    return Standing(
        standing.band,
        standing.health_band,
        standing.segment,
        standing.lifecycle,
        standing.tier,
        published.risk,
        published.engagement,
        published.health,
        published.predicted_12m,
        standing.positions,
    )
