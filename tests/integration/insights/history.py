"""A tiny history of a shop, small enough to be counted by hand.

Monday 2 March 2026 at noon is now. Anna (c-1) bought twice and once as a guest before she signed in
(a-1, merged into c-1); Ben (c-2) bought once in February and got part of it back in March.
"""

from datetime import UTC, datetime
from typing import Any

from shared.events.campaigns import (
    InterventionConverted,
    InterventionPlanned,
    InterventionSent,
    InterventionSuppressed,
)
from shared.events.commerce import OrderCancelled, OrderCompleted, OrderRefunded
from shared.events.engagement import (
    CustomerMerged,
    CustomerUpdated,
    MessageDelivered,
    SessionStarted,
)
from shared.events.envelope import Event
from shared.events.loyalty import (
    PointsAwarded,
    PointsExpired,
    PointsRedeemed,
    PointsReversed,
    TierChanged,
)
from shared.events.scoring import AssessmentUpdated, ThresholdCrossed
from shared.events.webhooks import DeliveryExhausted, DeliveryFailing, EndpointDisabled
from shared.testing.builders import event


def day(month: int, number: int, hour: int = 9) -> datetime:
    """An instant of 2026 in UTC."""
    return datetime(2026, month, number, hour, tzinfo=UTC)


def assessed(
    customer: str, at: datetime, risk: float, band: str, segment: str, **given: Any
) -> AssessmentUpdated:
    """An assessment: what insights keeps of it is what is given here."""
    clv = given.pop("clv", "100")
    return event(
        AssessmentUpdated,
        customer=customer,
        at=at,
        **given,
        customer_id=customer,
        as_of=at,
        churn={"risk": risk, "band": band, "horizon_days": 90},
        engagement={"score": 50, "trend": 0},
        health={"score": 50, "band": "fair"},
        rfm={
            "recency_days": 1,
            "frequency": 1,
            "monetary": "10",
            "r": 1,
            "f": 1,
            "m": 1,
            "cell": "111",
        },
        clv={
            "historic": "40.50",
            "predicted_12m": clv,
            "interval": ["1", "2"],
            "tier": "high",
            "currency": "GBP",
        },
        next_order={"expected_at": None, "probability_30d": 0.5},
        sentiment={"score": None, "count": 0},
        segment=segment,
        lifecycle="active",
        model="prior",
    )


def intervention(kind: type[Event], **given: Any) -> Event:
    """An intervention's event."""
    defaults = {
        "intervention_id": "i-1",
        "journey": "win-back",
        "journey_version": 1,
        "step": "offer",
        "channel": "email",
        "reason": "in words",
    }
    return event(kind, **{**defaults, **given})


def points(kind: type[Event], number: int, **given: Any) -> Event:
    """A movement of points."""
    return event(kind, points=number, entry_id="n-1", balance=0, reason="in words", **given)


def commerce() -> list[Event]:
    """What the shop posts. March: three orders of Anna (30 + 12.50 + 7 GBP), one cancelled."""
    return [
        event(OrderCompleted, id="o2", customer="c-2", at=day(2, 10), order_id="B1", total="80"),
        event(OrderCompleted, id="o1", customer="c-1", at=day(3, 1), order_id="A1", total="30"),
        # The same order under another event id: counted once.
        event(
            OrderCompleted, id="o1x", customer="c-1", at=day(3, 1, 10), order_id="A1", total="30"
        ),
        event(OrderCompleted, id="o3", customer="c-1", at=day(3, 2), order_id="A2", total="12.50"),
        event(OrderCompleted, id="o4", customer="c-1", at=day(3, 2), order_id="A3", total="99"),
        event(OrderCancelled, id="o5", customer="c-1", at=day(3, 2, 10), order_id="A3"),
        event(OrderRefunded, id="r0", customer="c-1", at=day(3, 2, 11), order_id="A3", amount="99"),
        # As a guest, in another currency besides.
        event(OrderCompleted, id="o6", customer="a-1", at=day(3, 1, 8), order_id="G1", total="7"),
        event(
            OrderCompleted,
            id="o7",
            customer="a-1",
            at=day(3, 1, 8),
            order_id="G2",
            total="5",
            currency="EUR",
        ),
        event(CustomerMerged, id="m1", customer="a-1", at=day(3, 1, 9), survivor_id="c-1"),
        # Late: of an order of February, in March.
        event(OrderRefunded, id="r1", customer="c-2", at=day(3, 1), order_id="B1", amount="20.25"),
        event(SessionStarted, id="s1", customer="c-3", at=day(3, 1)),
        event(CustomerUpdated, id="u1", customer="c-4", at=day(3, 1), email="d@example.org"),
        event(
            MessageDelivered, id="d1", customer="c-2", at=day(3, 1), message_id="m", channel="email"
        ),
    ]


def decisions() -> list[Event]:
    """What the services conclude."""
    return [
        assessed("c-1", day(3, 1, 10), 0.9, "critical", "champions", id="x1", cause="o1"),
        assessed("c-1", day(3, 2, 10), 0.2, "low", "loyal", id="x2", cause="o3", clv="250.25"),
        assessed("c-2", day(3, 1, 10), 0.8, "high", "loyal", id="x3", clv="10"),
        # Of Anna's guest id, from before the merge: she is one person, so it does not count.
        assessed("a-1", day(3, 1, 8), 0.5, "medium", "new", id="x4"),
        event(
            ThresholdCrossed,
            id="t1",
            customer="c-2",
            at=day(3, 1, 10),
            cause="r1",
            threshold="churn",
            metric="churn.risk",
            direction="up",
            value=0.8,
            level=0.7,
            churn_risk=0.8,
            churn_band="high",
            clv_historic="1",
            clv_predicted_12m="1",
            clv_tier="high",
            currency="GBP",
            segment="loyal",
            lifecycle="active",
        ),
        intervention(InterventionPlanned, id="i1", customer="c-2", at=day(3, 1, 11), cause="t1"),
        intervention(InterventionSent, id="i2", customer="c-2", at=day(3, 1, 12), cause="i1"),
        intervention(InterventionPlanned, id="i3", customer="c-3", at=day(3, 1, 11)),
        intervention(
            InterventionSuppressed, id="i4", customer="c-3", at=day(3, 1, 11), rule="consent"
        ),
        intervention(InterventionConverted, id="i5", customer="c-2", at=day(3, 2)),
        points(PointsAwarded, 30, id="p1", customer="c-1", at=day(3, 1), cause="o1"),
        points(PointsAwarded, 12, id="p2", customer="c-1", at=day(3, 2), cause="o3"),
        points(PointsReversed, -20, id="p3", customer="c-2", at=day(3, 1), cause="r1"),
        points(PointsRedeemed, 5, id="p4", customer="c-1", at=day(3, 2)),
        points(PointsExpired, 3, id="p5", customer="c-2", at=day(3, 2)),
        _tier("c-1", "gold", 3, id="g2"),
        _tier("c-1", "bronze", 1, id="g1"),
        _tier("c-2", "bronze", 1, id="g3"),
    ]


def _tier(customer: str, tier: str, hour: int, **given: Any) -> Event:
    changed = {"previous": None, "current": tier, "qualifying_points": 0, "reason": "words"}
    return event(TierChanged, customer=customer, at=day(3, 1, hour), **changed, **given)


def operations() -> list[Event]:
    """What webhooks tells operators: one endpoint failed, then was disabled."""
    state = {"delivery_id": "d", "event_type": "order.completed", "attempts": 3, "reason": "500"}
    return [
        event(DeliveryFailing, id="w1", customer="ep-1", at=day(3, 1), endpoint_id="ep-1", **state),
        event(
            DeliveryExhausted,
            id="w2",
            customer="ep-1",
            at=day(3, 1, 11),
            endpoint_id="ep-1",
            **state,
        ),
        event(
            EndpointDisabled,
            id="w3",
            customer="ep-1",
            at=day(3, 1, 12),
            endpoint_id="ep-1",
            reason="gone",
        ),
        event(DeliveryFailing, id="w4", customer="ep-2", at=day(3, 1), endpoint_id="ep-2", **state),
    ]


def everything() -> list[Event]:
    """The whole history."""
    return [*commerce(), *decisions(), *operations()]
