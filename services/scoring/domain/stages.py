"""Lifecycle and segments: names for what a customer is, from counts, days of silence and bands."""

from dataclasses import dataclass
from typing import NamedTuple

from shared.events.scoring import RiskBand, ValueTier

NEW_DAYS = 30
WON_BACK_DAYS = 60
LAPSED_DAYS = 180
LOYAL_PURCHASES = 4
LOYALIST_PURCHASES = 3
RETURNING_PURCHASES = 2
# Days of silence at which a stage can change by itself: these instants are reviewed.
SILENCE_EDGES_DAYS = (NEW_DAYS, WON_BACK_DAYS, LAPSED_DAYS)

AT_RISK_BANDS = frozenset({"high", "critical"})


class Habit(NamedTuple):
    """What stages are decided from. `last_gap_days` is between the last two purchase days."""

    purchases: int
    silent_days: int
    last_gap_days: int
    band: RiskBand
    tier: ValueTier


def lifecycle_of(habit: Habit) -> str:
    """One of prospect, new, active, loyal, at_risk, lapsed, won_back."""
    if habit.purchases == 0:
        return "prospect"
    if habit.silent_days >= LAPSED_DAYS:
        return "lapsed"
    if habit.last_gap_days >= LAPSED_DAYS and habit.silent_days < WON_BACK_DAYS:
        return "won_back"
    if habit.band in AT_RISK_BANDS:
        return "at_risk"
    if habit.purchases == 1 and habit.silent_days < NEW_DAYS:
        return "new"
    return "loyal" if habit.purchases >= LOYAL_PURCHASES else "active"


@dataclass(frozen=True, slots=True)
class Segment:
    """A named group of customers, with its rule in words."""

    name: str
    description: str


AT_RISK_VALUABLE = Segment(
    "At-Risk Valuable", "Total value high or medium with repeat purchases, churn risk high or above"
)
WIN_BACK = Segment(
    "Win-Back Candidates", f"No order for {LAPSED_DAYS} days or more, total value not low"
)
LOYALISTS = Segment(
    "High-Value Loyalists",
    f"Total value high, {LOYALIST_PURCHASES} or more purchase days, churn risk below high",
)
GROWTH = Segment(
    "Growth Potential", "Two or more purchase days, total value not high, churn risk below high"
)
NEW = Segment("New", f"One purchase day, less than {NEW_DAYS} days ago")
PROSPECT = Segment("Prospect", "Known, but has not ordered yet")
REGULAR = Segment("Regular", "Everybody else")
SEGMENTS: tuple[Segment, ...] = (
    AT_RISK_VALUABLE,
    WIN_BACK,
    LOYALISTS,
    GROWTH,
    NEW,
    PROSPECT,
    REGULAR,
)


def segment_of(habit: Habit) -> str:
    """The first segment, in the order of urgency, whose rule holds."""
    if habit.purchases == 0:
        return PROSPECT.name
    at_risk = habit.band in AT_RISK_BANDS
    if habit.silent_days >= LAPSED_DAYS and habit.tier != "low":
        return WIN_BACK.name
    if at_risk:
        repeats = habit.tier == "medium" and habit.purchases >= RETURNING_PURCHASES
        return AT_RISK_VALUABLE.name if habit.tier == "high" or repeats else REGULAR.name
    if habit.tier == "high" and habit.purchases >= LOYALIST_PURCHASES:
        return LOYALISTS.name
    if habit.purchases >= RETURNING_PURCHASES and habit.tier != "high":
        return GROWTH.name
    return NEW.name if habit.silent_days < NEW_DAYS and habit.purchases == 1 else REGULAR.name
