"""The environment of loyalty: the program's rules as data, and limits."""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from services.loyalty.domain.program import (
    SHIPPED_EARNING_RULES,
    SHIPPED_GESTURES,
    SHIPPED_TIERS,
    EarningRule,
    Gesture,
    PointsOffer,
    Program,
    RefundPolicy,
    Tier,
)
from shared.runtime.settings import RuntimeSettings, service_config

# With the largest total that an order can have, hundreds of orders fit into 64 bits.
POINTS_PER_UNIT_MAX = 10_000
GIFT_POINTS_MAX = 1_000_000_000
DAYS_MAX = 36_500
NAME_CHARACTERS_MAX = 200


class LoyaltySettings(RuntimeSettings):
    """`LOYALTY_*`. Rules are JSON, such as `[{"name": "bronze", "points": 0}]`."""

    model_config = service_config("loyalty")
    SERVICE: ClassVar[str] = "loyalty"

    gather_seconds: float = Field(0.2, ge=0, le=1)

    earning_rules: tuple[EarningRule, ...] = SHIPPED_EARNING_RULES
    tiers: tuple[Tier, ...] = SHIPPED_TIERS
    gestures: tuple[Gesture, ...] = SHIPPED_GESTURES
    # Points that interventions with an offer of this name give when they are sent.
    offers: tuple[PointsOffer, ...] = ()
    # What becomes of points that went back after they were spent: owed, or written off.
    refund_policy: RefundPolicy = "debt"
    lot_months: int = Field(24, ge=1, le=600)
    tier_window_months: int = Field(12, ge=1, le=120)
    tier_review_months: int = Field(1, ge=1, le=120)

    reservation_seconds: float = Field(900.0, gt=0)
    clock_batch_customers: int = Field(500, ge=1)
    clock_period_seconds: float = Field(5.0, gt=0)
    audit_differences_max: int = Field(10, ge=1)
    audit_seconds_max: float = Field(60.0, gt=0)

    @model_validator(mode="after")
    def _is_a_program(self) -> Self:
        points = [tier.points for tier in self.tiers]
        if not points or points[0] != 0 or points != sorted(set(points)):
            raise ValueError("tiers must ascend and start at 0 points")
        if len({tier.name for tier in self.tiers}) != len(points):
            raise ValueError("tiers must have different names")
        if any(not 0 <= rule.points_per_unit <= POINTS_PER_UNIT_MAX for rule in self.earning_rules):
            raise ValueError(f"points_per_unit must lie within 0 and {POINTS_PER_UNIT_MAX}")
        gifts = [one.points for one in self.gestures] + [one.points for one in self.offers]
        if any(not 1 <= points <= GIFT_POINTS_MAX for points in gifts):
            raise ValueError(f"gestures and offers give 1 to {GIFT_POINTS_MAX} points")
        if any(not 0 <= one.once_per_days <= DAYS_MAX for one in self.gestures):
            raise ValueError(f"once_per_days must lie within 0 and {DAYS_MAX}")
        if any(rule.condition is not None for rule in self.earning_rules):
            raise ValueError("conditions of earning rules are not evaluated by this version")
        return self

    @model_validator(mode="after")
    def _can_be_told(self) -> Self:
        """Names go into events, which have limits of their own: better no start than no order."""
        names = [one.name for one in self.earning_rules] + [one.name for one in self.tiers]
        names += [one.name for one in self.gestures] + [one.offer for one in self.offers]
        if any(not 1 <= len(name) <= NAME_CHARACTERS_MAX or "\x00" in name for name in names):
            raise ValueError(f"names have 1 to {NAME_CHARACTERS_MAX} characters, none of them NUL")
        return self

    def program(self) -> Program:
        """The rules, as the domain takes them."""
        return Program(
            earning_rules=self.earning_rules,
            tiers=self.tiers,
            gestures=self.gestures,
            offers=self.offers,
            refund_policy=self.refund_policy,
            lot_months=self.lot_months,
            tier_window_months=self.tier_window_months,
            tier_review_months=self.tier_review_months,
        )
