"""What is published follows from each customer's events, not from the borders of batches."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from services.scoring.main import build
from shared.clock import EventClock
from shared.events.commerce import OrderCompleted
from shared.events.engagement import CustomerMerged
from shared.events.envelope import Event
from shared.events.scoring import ThresholdCrossed
from shared.events.topics import EVENTS
from shared.testing.builders import NOON, event
from shared.testing.harness import in_batches, running
from shared.testing.memory_log import MemoryLog
from tests.integration.scoring.shop import history

# Reviews are made by events only: the sweep has its own test of saying the same.
PINNED = {"fit": False}
TABLES = {
    "states": "SELECT customer_id, state, as_of FROM states ORDER BY 1",
    "assessments": "SELECT * FROM assessments ORDER BY 1",
    "purchases": "SELECT * FROM purchases ORDER BY 1, 2",
    "history": "SELECT customer_id, as_of, churn_risk, segment, cause FROM assessment_history "
    "ORDER BY customer_id, serial",
}
TOPICS = ("scoring.thresholds", "scoring.assessments")


async def run(url: str, events: Sequence[Event], size: int, **settings: Any) -> Any:
    """Everything published, per key in order, and every table's final rows."""
    async with running(build, url, clock=EventClock(), settings=PINNED | settings) as service:
        for batch in in_batches(events, size):
            await service.feed(*batch)
        log, tables = service.log, {}
        async with service.context.read() as session:
            for name, query in TABLES.items():
                tables[name] = [tuple(row) for row in await session.driver.fetch(query)]
        assert service.dead() == []
    return published(log), tables


def published(log: MemoryLog) -> dict[bytes, list[bytes | None]]:
    by_key: dict[bytes, list[bytes | None]] = {}
    for name in TOPICS:
        for record in log.records(name):
            by_key.setdefault(name.encode() + b"/" + (record.key or b""), []).append(record.value)
    return by_key


async def test_batches_of_one_seven_or_all_give_the_same_bytes(make_database: Any) -> None:
    # A merge concerns two keys, whose order towards each other nobody promises.
    events = [
        one
        for one in history(1, customers=8)
        if not isinstance(one, CustomerMerged) and one.alias is None
    ]
    whole = await run(make_database(), events, len(events))
    assert len(whole[0]) >= 8
    for size in (1, 7):
        pieces = await run(make_database(), events, size)
        assert pieces[0] == whole[0], f"published differently in batches of {size}"
        assert pieces[1] == whole[1], f"stored differently in batches of {size}"


async def test_the_sweep_says_what_events_would_have_said(make_database: Any) -> None:
    """Swept after every batch, or never: the same crossings, as long as nothing comes late."""
    events = [one for one in history(3, customers=8) if one.alias is None]
    events = [one for one in events if not isinstance(one, CustomerMerged)]
    never = await run(make_database(), events, 10)
    url = make_database()
    settings = PINNED | {"review_grace_hours": 0}
    async with running(build, url, clock=EventClock(), settings=settings) as service:
        for batch in in_batches(events, 10):
            await service.feed(*batch)
            await service.run_job("review_due")
        swept = published(service.log)
    for key, values in never[0].items():
        assert swept[key][: len(values)] == values


async def test_silence_waits_while_events_are_still_to_be_handled(database_url: str) -> None:
    """In a process that has no consumer, hence no idea of its own lag."""
    clock, settings = EventClock(), PINNED | {"review_grace_hours": 0}
    log = MemoryLog()
    parts: Any = {"clock": clock, "settings": settings, "log": log}
    late = NOON + timedelta(days=200)
    async with running(build, database_url, **parts) as service:
        await service.feed(event(OrderCompleted))
        assert service.published(ThresholdCrossed) == []
    async with running(build, database_url, consume=False, **parts) as service:
        back = event(OrderCompleted, order_id="o-2", at=NOON + timedelta(days=2))
        await service.put(back)
        clock.observe(late)
        sweep = service.service.jobs[0].run
        assert not await sweep(service.context, clock.now())
        async with service.context.read() as session:
            assert await session.driver.fetchval("SELECT max(as_of) FROM assessments") == NOON
    async with running(build, database_url, **parts) as service:
        await service.settle()
        await service.run_job("review_due")
        crossed = service.published(ThresholdCrossed)
    assert [one.data.threshold for one in crossed] == ["churn_risk.high", "churn_risk.critical"]
    assert min(one.time for one in crossed) > back.time + timedelta(days=30)


async def test_merged_customers_end_the_same_whatever_the_batches(make_database: Any) -> None:
    """Of ids that share a partition, whose order towards each other is therefore kept."""
    events = of_one_partition(history(8, customers=200))
    assert sum(isinstance(one, CustomerMerged) for one in events) > 1
    whole = await run(make_database(), events, len(events))
    for size in (1, 7):
        pieces = await run(make_database(), events, size)
        assert pieces[0] == whole[0], f"published differently in batches of {size}"
        assert pieces[1] == whole[1], f"stored differently in batches of {size}"


async def test_merged_ids_of_other_partitions_end_with_the_same_states_and_orders(
    make_database: Any,
) -> None:
    events = history(4, customers=6)
    assert any(isinstance(one, CustomerMerged) for one in events)
    whole = await run(make_database(), events, len(events))
    pieces = await run(make_database(), events, 7)
    assert pieces[1]["purchases"] == whole[1]["purchases"]
    assert [row[:2] for row in pieces[1]["states"]] == [row[:2] for row in whole[1]["states"]]


def of_one_partition(events: Sequence[Event]) -> list[Event]:
    """The events of customers who are merged with an id of the same partition."""
    log = MemoryLog()
    pairs = [
        (one.subject, one.data.survivor_id) for one in events if isinstance(one, CustomerMerged)
    ]
    kept = {
        name
        for pair in pairs
        if len({log.partition_of(EVENTS.name, one.encode()) for one in pair}) == 1
        for name in pair
    }
    return [one for one in events if one.subject in kept]
