"""Replays of much at once: bounded in bytes, and judged while nobody waits for it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from services.ingest.handlers import replays
from services.ingest.main import build
from services.ingest.store import replays as store
from shared.clock import ManualClock
from shared.events.engagement import CustomEvent, PageViewed
from shared.testing.builders import NOON
from shared.testing.harness import Running, running
from tests.integration.ingest.posting import visit
from tests.integration.ingest.test_replay import ask, mend, refuse, replay


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Running]:
    settings = {"replay_bytes_max": 6_000}
    async with running(build, database_url, clock=ManualClock(NOON), settings=settings) as started:
        yield started


async def test_large_events_are_replayed_fewer_at_once(service: Running) -> None:
    when = (NOON + timedelta(hours=2)).isoformat()
    large = visit(type="custom.x", occurred_at=when, data={"a": "x" * 2_400})
    ones = await refuse(service, *[large | {"id": f"e-{n}"} for n in range(4)])
    service.clock.advance(timedelta(hours=5))

    reply = await ask(service, "POST", "/replay", json={"ids": ones})
    first = await replay(service, reason="future_time")
    rest = await replay(service, reason="future_time", cursor=first["next_cursor"])

    assert (reply.status_code, "6000 bytes" in reply.json()["detail"]) == (422, True)
    assert [len(one["items"]) for one in (first, rest)] == [3, 1]
    assert rest["next_cursor"] is None
    assert len(service.published(CustomEvent)) == 4


async def test_what_is_corrected_while_it_is_judged_is_not_published_as_it_was(
    service: Running, database_url: str
) -> None:
    (one,) = await refuse(service, visit(id="e-1", customer_id="null"))
    await mend(service, one, visit(data={"url": "/old"}))
    async with service.context.read() as session:
        found = await store.find(session.driver, [one], service.clock.now(), 6_000)
    await mend(service, one, visit(data={"url": "/new"}))

    async with service.context.transaction() as tx:
        same = await replays.still(tx, found.rejections, service.clock.now())

    assert same == []
    await replay(service, ids=[one])
    (published,) = service.published(PageViewed)
    assert published.data.url == "/new"


async def test_judging_holds_no_row_and_no_transaction(service: Running) -> None:
    ones = await refuse(service, *[visit(id=f"e-{n}", customer_id="null") for n in range(4)])
    async with service.context.read() as session:
        found = await store.find(session.driver, ones, service.clock.now(), 6_000)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    busy = asyncio.create_task(others())
    await replays.judge_all(found.rejections, service.context.resources.rules, NOON)
    busy.cancel()

    assert turns >= 4
