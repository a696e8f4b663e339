"""The law of any order on PostgreSQL: partitions ahead of each other and batches of any size end in
the same customers as the order of telling."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from services.scoring.handlers.reading import assessed_now
from services.scoring.main import build
from shared.clock import EventClock
from shared.events.envelope import Event
from shared.events.scoring import ThresholdCrossed
from shared.events.topics import ASSESSMENTS
from shared.testing.builders import NOON
from shared.testing.harness import Running, running
from tests.unit.scoring.told import history, interleaved, never_alone

PINNED = {"fit": False}
LATER = NOON + timedelta(days=600)


async def left(service: Running) -> dict[str, Any]:
    """Who is who, all that they did, and how they stand long after (bands besides, which depend on
    what was announced before)."""
    async with service.context.read() as session:
        driver = session.driver
        states = await driver.fetch("SELECT customer_id, state FROM states ORDER BY 1")
        links = dict(await driver.fetch("SELECT customer_id, root_id FROM links"))
        customers = [row[0] for row in await driver.fetch("SELECT customer_id FROM assessments")]
        scores = await assessed_now(driver, service.context.resources, sorted(customers), LATER)
    live = {
        record.key: record.value is not None for record in service.log.records(ASSESSMENTS.name)
    }
    roots = {
        row["customer_id"]: links.get(row["customer_id"], row["customer_id"]) for row in states
    }
    assert {key for key, there in live.items() if there} == {one.encode() for one in customers}
    assert set(roots.values()) == set(customers)
    return {
        "roots": roots,
        "states": [tuple(row) for row in states],
        "scores": [
            (one.churn.risk, one.clv, one.engagement, one.health, one.rfm) for one in scores
        ],
    }


async def run(url: str, events: Sequence[Event], sizes: Sequence[int]) -> dict[str, Any]:
    async with running(build, url, clock=EventClock(), settings=PINNED) as service:
        waiting = list(events)
        for size in sizes:
            batch, waiting = waiting[:size], waiting[size:]
            if not batch:
                break
            await service.feed(*batch)
        assert service.dead() == []
        crossed = {one.subject for one in service.published(ThresholdCrossed)}
        assert not crossed & never_alone(events)
        return await left(service)


@pytest.mark.parametrize("seed", [4, 9])
async def test_any_interleaving_of_keys_ends_with_the_same_customers(
    seed: int, make_database: Any
) -> None:
    events = [one for step in history(seed, 40) for one in step.events]
    dice = random.Random(seed)
    straight = await run(make_database(), events, [len(events)])
    assert len(set(straight["roots"].values())) > 1
    for _ in range(2):
        sizes = [dice.choice([1, 2, 7, 30]) for _ in events]
        mixed = await run(make_database(), interleaved(events, dice), sizes)
        assert mixed == straight
