"""The rules of the program as data: what earns, what tiers ask for, what a worried shop gives."""

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.events.campaigns import InterventionSent
from shared.events.commerce import OrderCompleted
from shared.events.scoring import ThresholdCrossed
from shared.money import Money

RefundPolicy = Literal["debt", "floor_at_zero"]
MONTHS_A_YEAR = 12


@dataclass(frozen=True, slots=True)
class EarningRule:
    """Points for every whole unit of an order's `total`.

    Of the active rules the first by `priority` (lowest number) whose currency fits is taken.
    `condition` is a CEL expression; rules that carry one are refused when settings are read.
    """

    name: str
    points_per_unit: int = 1
    currency: str | None = None
    condition: str | None = None
    priority: int = 100
    active: bool = True
    qualifying: bool = True


@dataclass(frozen=True, slots=True)
class Tier:
    """A tier, and the qualifying points of the last 12 months that it takes."""

    name: str
    points: int


@dataclass(frozen=True, slots=True)
class Gesture:
    """Bonus points for a customer whose risk of leaving went up through a level.

    Empty `tiers` or `value_tiers` mean any. At most one in `once_per_days` for one customer.
    """

    name: str
    points: int
    metrics: tuple[str, ...] = ("churn.risk", "churn_risk", "churn")
    direction: Literal["up", "down"] = "up"
    bands: tuple[str, ...] = ("high", "critical")
    value_tiers: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    once_per_days: int = 90
    qualifying: bool = False
    active: bool = True


@dataclass(frozen=True, slots=True)
class PointsOffer:
    """Points that an intervention with this offer gives when it is sent."""

    offer: str
    points: int
    qualifying: bool = False


SHIPPED_EARNING_RULES = (EarningRule("order_total"),)
SHIPPED_TIERS = (Tier("bronze", 0), Tier("silver", 1_000), Tier("gold", 5_000))
# It looks at the event alone, not at the tier of the moment, so that a replay gives the same.
SHIPPED_GESTURES = (Gesture("retention_gesture", 100, value_tiers=("high",)),)


@dataclass(frozen=True, slots=True)
class Program:
    """Everything that a shop decides about its points. `tiers` ascend and start at 0 points."""

    earning_rules: tuple[EarningRule, ...] = SHIPPED_EARNING_RULES
    tiers: tuple[Tier, ...] = SHIPPED_TIERS
    gestures: tuple[Gesture, ...] = SHIPPED_GESTURES
    offers: tuple[PointsOffer, ...] = ()
    refund_policy: RefundPolicy = "debt"
    lot_months: int = 24
    tier_window_months: int = MONTHS_A_YEAR
    tier_review_months: int = 1

    def expiry_of(self, earned_at: datetime) -> datetime:
        """The instant from which points earned at `earned_at` can no longer be spent."""
        return add_months(earned_at, self.lot_months)


@dataclass(frozen=True, slots=True)
class Earned:
    """What a rule gives for one event."""

    rule: EarningRule
    points: int


def earned_by_order(rules: Sequence[EarningRule], order: OrderCompleted) -> Earned | None:
    """The points of an order by the first rule that applies, or None when none does."""
    for rule in sorted(rules, key=lambda one: one.priority):
        if rule.active and rule.currency in {None, order.data.currency}:
            units = Money(order.data.total, order.data.currency).whole_units()
            return Earned(rule, units * rule.points_per_unit)
    return None


def gesture_for(
    gestures: Sequence[Gesture], crossed: ThresholdCrossed, tier: str
) -> Gesture | None:
    """The first gesture that this crossing calls for, whatever was given before."""
    for rule in gestures:
        data = crossed.data
        if (
            rule.active
            and data.metric in rule.metrics
            and data.direction == rule.direction
            and data.churn_band in rule.bands
            and (not rule.value_tiers or data.clv_tier in rule.value_tiers)
            and (not rule.tiers or tier in rule.tiers)
        ):
            return rule
    return None


def offered_by(offers: Sequence[PointsOffer], sent: InterventionSent) -> PointsOffer | None:
    """The points that a sent intervention promised, or None."""
    return next((one for one in offers if one.offer == sent.data.offer), None)


def add_months(instant: datetime, months: int) -> datetime:
    """The same day and time `months` later; the last day where a month is too short."""
    years, month = divmod(instant.month - 1 + months, MONTHS_A_YEAR)
    year = instant.year + years
    day = min(instant.day, calendar.monthrange(year, month + 1)[1])
    return instant.replace(year=year, month=month + 1, day=day)
