"""When an event counts as having happened, from the door to the topic."""

from datetime import timedelta
from typing import Any

import pytest

from services.ingest.main import build
from shared.clock import ManualClock
from shared.events.engagement import PageViewed
from shared.testing.builders import NOON
from shared.testing.harness import Running, running
from tests.integration.ingest.posting import post, visit


@pytest.fixture
async def service(database_url: str) -> Any:
    async with running(build, database_url, clock=ManualClock(NOON)) as started:
        yield started


def at(**before: float) -> str:
    return (NOON - timedelta(**before)).isoformat()


async def test_a_clock_that_is_hours_off_is_corrected_and_what_it_said_is_kept(
    service: Running,
) -> None:
    events = [visit(id=f"e-{n}", occurred_at=at(hours=3, minutes=-n)) for n in range(3)]
    reply = await post(service, {"events": [*events, visit(id="e-3")], "sent_at": at(hours=2)})

    assert reply.status_code == 202
    await service.settle()
    published = service.published(PageViewed)
    assert [one.time for one in published] == [
        *(NOON - timedelta(hours=1) + timedelta(minutes=n) for n in range(3)),
        NOON,
    ]
    claimed = [NOON - timedelta(hours=3) + timedelta(minutes=n) for n in range(3)]
    assert [one.originaltime for one in published] == [*claimed, None]
    assert {one.recordedtime for one in published} == {NOON}


async def test_a_clock_that_is_hardly_off_is_believed(service: Running) -> None:
    await post(service, visit(occurred_at=at(hours=1)) | {"sent_at": at(minutes=4)})

    await service.settle()
    (published,) = service.published(PageViewed)
    assert (published.time, published.originaltime) == (NOON - timedelta(hours=1), None)


async def test_the_same_events_sent_again_later_are_the_same_events(service: Running) -> None:
    event = visit(id="e-1", occurred_at=at(hours=3))
    for sent_at in (at(hours=2), at(hours=1), at(minutes=1)):
        assert (await post(service, event | {"sent_at": sent_at})).status_code == 202
    assert (await post(service, event)).status_code == 202

    await service.settle()
    assert [one.time for one in service.published(PageViewed)] == [NOON - timedelta(hours=1)]
    assert not service.dead()


async def test_what_would_lie_in_the_future_happened_at_its_bound(database_url: str) -> None:
    settings = {"future_seconds_max": 60.0, "clock_skew_minutes_min": 1.0}
    async with running(build, database_url, clock=ManualClock(NOON), settings=settings) as service:
        body = visit(occurred_at=at(days=-2)) | {"sent_at": at(days=-1)}
        assert (await post(service, body)).status_code == 202

        await service.settle()
        (published,) = service.published(PageViewed)
        assert published.time == NOON + timedelta(seconds=60)
        assert published.originaltime == NOON + timedelta(days=2)


async def test_a_sent_at_that_is_no_time_is_told(service: Running) -> None:
    reply = await post(service, {"events": [visit()], "sent_at": "yesterday"})

    assert reply.status_code == 422
    assert [one["path"] for one in reply.json()["errors"]] == ["sent_at"]
