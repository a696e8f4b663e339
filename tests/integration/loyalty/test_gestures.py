"""A customer about to leave gets points, once in a while, with the reason."""

from datetime import timedelta
from typing import Any

import pytest

from services.loyalty.main import build
from shared.events.campaigns import InterventionSent
from shared.events.loyalty import PointsAwarded
from shared.events.scoring import ThresholdCrossed
from shared.testing.builders import NOON, event
from shared.testing.harness import Running, running


def crossing(**given: Any) -> ThresholdCrossed:
    shape: dict[str, Any] = {
        "threshold": "churn_high",
        "metric": "churn.risk",
        "direction": "up",
        "value": 0.72,
        "level": 0.6,
        "churn_risk": 0.72,
        "churn_band": "high",
        "clv_historic": "900",
        "clv_predicted_12m": "1200",
        "clv_tier": "high",
        "currency": "GBP",
        "segment": "champions",
        "lifecycle": "active",
    }
    return event(ThresholdCrossed, **(shape | given))


def given(service: Running) -> list[tuple[int, str | None, str]]:
    return [
        (one.data.points, one.data.rule, one.data.reason)
        for one in service.published(PointsAwarded)
    ]


async def test_a_valuable_customer_at_risk_gets_points_with_the_reason(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(crossing())
        assert given(service) == [
            (100, "retention_gesture", "retention gesture: risk of leaving went up to 72% (high)")
        ]


@pytest.mark.parametrize(
    "other",
    [
        {"direction": "down"},
        {"churn_band": "medium"},
        {"clv_tier": "low"},
        {"metric": "health.score"},
    ],
)
async def test_other_crossings_give_nothing(database_url: str, other: dict[str, Any]) -> None:
    async with running(build, database_url) as service:
        await service.feed(crossing(**other))
        assert given(service) == []


async def test_a_gesture_is_made_once_in_its_days(database_url: str) -> None:
    async with running(build, database_url) as service:
        for days in (0, 0, 89, 90, 91):
            await service.feed(crossing(at=NOON + timedelta(days=days)))
        assert len(given(service)) == 2


async def test_a_rule_may_ask_for_a_tier(database_url: str) -> None:
    rule = {"name": "gold_only", "points": 50, "tiers": ["gold"]}
    async with running(build, database_url, settings={"gestures": [rule]}) as service:
        await service.feed(crossing())
        assert given(service) == []
        await service.client.post(
            "/v1/members/c-1/awards",
            json={"points": 5000, "reason": "x"},
            headers=service.key("operate"),
        )
        await service.feed(crossing())
        assert (50, "gold_only") in [(points, name) for points, name, _ in given(service)]


async def test_gestures_do_not_count_for_the_tier(database_url: str) -> None:
    rule = {"name": "lavish", "points": 9000}
    async with running(build, database_url, settings={"gestures": [rule]}) as service:
        await service.feed(crossing())
        reply = await service.client.get("/v1/members/c-1", headers=service.key("read"))
        assert (reply.json()["tier"], reply.json()["balance"]["active"]) == ("bronze", 9000)


def sent(**given: Any) -> InterventionSent:
    shape: dict[str, Any] = {
        "intervention_id": "i-1",
        "journey": "win-back",
        "journey_version": 1,
        "step": "offer",
        "channel": "email",
        "reason": "risk went up",
    }
    return event(InterventionSent, **(shape | given))


async def test_points_that_an_intervention_offered_are_given_once_it_is_sent(
    database_url: str,
) -> None:
    offers = [{"offer": "sorry-200", "points": 200}]
    async with running(build, database_url, settings={"offers": offers}) as service:
        promised = sent(offer="sorry-200")
        await service.feed(promised, promised, sent(offer="win-back-10"), sent())
        assert given(service) == [(200, "sorry-200", "offer of journey win-back")]
