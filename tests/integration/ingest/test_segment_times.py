"""Which clock of a call is believed: a client's that is off, and none of an archive."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from services.ingest.main import build
from shared.clock import ManualClock
from shared.events.engagement import CustomEvent
from shared.testing.builders import NOON
from shared.testing.harness import Running, running
from tests.integration.ingest.calling import send, track


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Running]:
    async with running(build, database_url, clock=ManualClock(NOON)) as started:
        yield started


def ago(**time: float) -> str:
    return (NOON - timedelta(**time)).isoformat()


async def moved(service: Running, body: Any, path: str = "/v1/batch", **headers: str) -> timedelta:
    """By how much an event was moved that says it happened a day before its body was sent."""
    reply = await send(service, body, path, **headers)
    assert len(reply.json()["accepted"]) == 1, reply.text
    await service.settle()
    (one,) = service.published(CustomEvent)
    return one.time - (one.originaltime or one.time)


async def test_a_clock_that_is_hours_off_is_corrected(service: Running) -> None:
    body = {"batch": [track(timestamp=ago(hours=27))], "sentAt": ago(hours=3)}
    assert await moved(service, body) == timedelta(hours=3)


async def test_a_single_call_tells_its_clock_itself(service: Running) -> None:
    call = track(timestamp=ago(hours=27), sentAt=ago(hours=3))
    assert await moved(service, call, "/v1/track") == timedelta(hours=3)


@pytest.mark.parametrize(
    ("body", "path", "headers"),
    [
        ({"sentAt": ago(days=800)}, "/v1/batch", {}),
        ({"sentAt": ago(hours=3)}, "/v1/import", {}),
        ({"sentAt": ago(hours=3)}, "/v1/import/", {}),
        ({"sentAt": ago(hours=3)}, "/v1/batch", {"X-Retry-Count": "1"}),
        ({}, "/v1/batch", {}),
    ],
)
async def test_what_is_old_is_left_where_it_was(
    service: Running, body: Any, path: str, headers: dict[str, str]
) -> None:
    """A line of an archive has a `sentAt` of its own."""
    call = track(timestamp=ago(days=801), sentAt=ago(days=800))
    assert await moved(service, body | {"batch": [call]}, path, **headers) == timedelta(0)


async def test_a_first_try_says_that_it_is_one(service: Running) -> None:
    body = {"batch": [track(timestamp=ago(hours=27))], "sentAt": ago(hours=3)}
    assert await moved(service, body, **{"X-Retry-Count": "0"}) == timedelta(hours=3)
