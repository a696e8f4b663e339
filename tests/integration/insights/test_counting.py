"""States as of now: the latest word, and sums kept in advance."""

import random
from datetime import datetime
from typing import Any

import pytest

from services.insights.main import build
from shared.events.engagement import (
    CustomerErased,
    CustomerMerged,
    CustomerUnmerged,
    SessionStarted,
)
from shared.events.envelope import Event
from shared.events.loyalty import TierChanged
from shared.events.webhooks import DeliveryExhausted, EndpointDisabled
from shared.testing.builders import NOON, event
from shared.testing.harness import Running, in_batches, running
from tests.integration.insights.history import assessed, day
from tests.integration.insights.reading import MARCH, overview


@pytest.mark.parametrize("ids", [("a", "b"), ("b", "a")])
@pytest.mark.parametrize("size", [1, 2])
async def test_of_two_words_of_the_same_time_the_later_told_is_the_state(
    database_url: str, ids: tuple[str, str], size: int
) -> None:
    told: list[list[Event]] = [
        [assessed("c-1", NOON, 0.9, "high", "new"), assessed("c-1", NOON, 0.2, "low", "loyal")],
        [tier_changed("c-1", "gold"), tier_changed("c-1", "bronze")],
        [endpoint(DeliveryExhausted), endpoint(EndpointDisabled)],
        [
            event(CustomerMerged, customer="a-1", survivor_id="c-1"),
            event(CustomerUnmerged, customer="a-1", survivor_id="c-1"),
        ],
    ]
    named = [
        one.model_copy(update={"id": f"{name}-{place}"})
        for place, pair in enumerate(told)
        for one, name in zip(pair, ids, strict=True)
    ]
    async with running(build, database_url) as service:
        await service.feed(event(SessionStarted, customer="a-1"))
        for batch in in_batches(named, size):
            await service.feed(*batch)
        await service.feed(*named)  # sent again, and known
        found = await overview(service, **MARCH)
    assert found["retention"]["by_band"]["low"] == found["retention"]["assessed"] == 1
    assert found["loyalty"]["members_by_tier"] == {"bronze": 1}
    assert found["webhooks"]["endpoints_by_state"] == {"disabled": 1}
    assert found["customers"]["known"] == 2


def tier_changed(customer: str, tier: str, at: datetime = NOON) -> Event:
    return event(
        TierChanged,
        customer=customer,
        at=at,
        previous=None,
        current=tier,
        qualifying_points=0,
        reason="words",
    )


def endpoint(kind: type[Event]) -> Event:
    state: dict[str, Any] = {"endpoint_id": "ep-1", "reason": "500"}
    if kind is DeliveryExhausted:
        state |= {"delivery_id": "d", "event_type": "order.completed", "attempts": 3}
    return event(kind, customer="ep-1", **state)


@pytest.mark.parametrize("seed", range(5))
async def test_what_is_counted_in_advance_is_what_a_count_of_everybody_gives(
    database_url: str, seed: int
) -> None:
    """Merges, unmerges, erasures, assessments and tiers in any order, recounted now and then."""
    dice = random.Random(seed)
    async with running(build, database_url, settings={"recount_rows": 3}) as service:
        for _ in range(12):
            await service.feed(*(something(dice) for _ in range(dice.randint(1, 8))))
            await assert_counted(service)
            if dice.random() < 0.4:
                await service.run_job("recount")
                await assert_counted(service)
        await service.run_job("recount")
        assert await rows(service, "TABLE recounts") == []
        assert await rows(service, "SELECT FROM standing_sums WHERE people <= 0") == []
        await assert_counted(service)


def something(dice: random.Random) -> Event:
    customer, other = dice.sample(["a-1", "a-2", "b-1", "c-1", "c-2"], 2)
    at = day(2, dice.randint(20, 28))
    kind = dice.choice(["visit", "merge", "merge", "unmerge", "assess", "assess", "tier", "erase"])
    if kind == "visit":
        return event(SessionStarted, customer=customer, at=at)
    if kind == "merge":
        return event(CustomerMerged, customer=customer, at=at, survivor_id=other)
    if kind == "unmerge":
        return event(CustomerUnmerged, customer=customer, at=at, survivor_id=other)
    if kind == "assess":
        band, segment = dice.choice(["low", "high"]), dice.choice(["loyal", "new"])
        return assessed(customer, at, round(dice.random(), 3), band, segment)
    if kind == "tier":
        return tier_changed(customer, dice.choice(["bronze", "gold"]), at)
    return event(CustomerErased, customer=customer, at=at, erasure_id=f"x-{dice.random()}")


async def assert_counted(service: Running) -> None:
    """The overview, beside a count of all rows by the plainest query there is."""
    for segment in (None, "loyal", "new"):
        query = {"segment": segment} if segment else {}
        told = await overview(service, **{"from": "2026-02-24", "to": "2026-02-27"}, **query)
        (people,) = await rows(service, PEOPLE, segment)
        (standing,) = await rows(service, STANDING, segment)
        tiers = await rows(service, TIERS, segment)
        assert (told["customers"]["known"], told["customers"]["new"]) == tuple(people)
        retention = told["retention"]
        assert retention["assessed"] == standing[0]
        assert retention["by_band"]["high"] == retention["at_risk"] == standing[1]
        assert retention["mean_churn_risk"] == pytest.approx(standing[2])
        assert told["loyalty"]["members_by_tier"] == dict(tiers)


PEOPLE = """
SELECT count(*), count(*) FILTER (WHERE seen_at >= '2026-02-24Z') FROM (
  SELECT coalesce(root_id, customer_id) AS person, min(first_seen_at) AS seen_at
  FROM customers LEFT JOIN merges ON absorbed_id = customer_id
  GROUP BY 1 HAVING min(first_seen_at) < '2026-02-27Z'
) AS people LEFT JOIN standings ON customer_id = person
WHERE $1::text IS NULL OR segment = $1
"""
STANDING = """
SELECT count(*), count(*) FILTER (WHERE band = 'high'), avg(risk)
FROM standings LEFT JOIN merges ON absorbed_id = customer_id
WHERE (root_id IS NULL OR root_id = customer_id) AND ($1::text IS NULL OR segment = $1)
"""
TIERS = """
SELECT tier, count(*) FROM tiers LEFT JOIN merges ON absorbed_id = tiers.customer_id
LEFT JOIN standings ON standings.customer_id = tiers.customer_id
WHERE (root_id IS NULL OR root_id = tiers.customer_id) AND ($1::text IS NULL OR segment = $1)
GROUP BY tier
"""


async def rows(service: Running, statement: str, *arguments: Any) -> list[Any]:
    async with service.context.read() as session:
        return list(await session.driver.fetch(statement, *arguments))
