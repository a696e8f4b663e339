"""CloudEvents and calls of Segment's clients that were refused, replayed, and sent again."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from services.ingest.main import build
from shared.clock import ManualClock
from shared.events.commerce import OrderCompleted
from shared.testing.builders import NOON
from shared.testing.harness import Running, running
from tests.integration.ingest import calling, posting

BATCH = {"Content-Type": "application/cloudevents-batch+json"}


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Running]:
    settings = {"segment_currency": "EUR"}
    async with running(build, database_url, clock=ManualClock(NOON), settings=settings) as started:
        yield started


def cloud(source: str, order_id: str, **given: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "e-1",
        "source": source,
        "type": "order.completed",
        "subject": "c-1",
        "data": posting.order(order_id)["data"],
        **given,
    }


async def rejected(service: Running) -> dict[str, str]:
    """The ids of the rejections, by their sources."""
    await service.settle()
    reply = await service.client.get("/v1/rejections", headers=service.key("operate"))
    return {one["source"]: one["id"] for one in reply.json()["items"]}


async def replayed(service: Running, **wanted: Any) -> list[str]:
    reply = await service.client.post(
        "/v1/rejections/replay", json=wanted, headers=service.key("operate")
    )
    await service.settle()
    return sorted(one["outcome"] for one in reply.json()["items"])


async def test_a_cloud_event_is_replayed_under_its_source_and_counts_once(
    service: Running,
) -> None:
    later = (NOON + timedelta(hours=2)).isoformat()
    sent = [cloud("/shop", "o-1", time=later), cloud("https://other.example", "o-2", time=later)]
    assert (await posting.post(service, sent, **BATCH)).status_code == 422
    ids = await rejected(service)
    assert set(ids) == {"/sources/ingest//shop", "/sources/ingest/https://other.example"}

    assert await replayed(service, reason="future_time") == ["refused", "refused"]
    service.clock.advance(timedelta(hours=3))
    assert await replayed(service, reason="future_time") == ["replayed", "replayed"]
    assert (await posting.post(service, sent, **BATCH)).status_code == 202

    await service.settle()
    found = sorted((one.source, one.data.order_id) for one in service.published(OrderCompleted))
    assert found == [
        ("/sources/ingest//shop", "o-1"),
        ("/sources/ingest/https://other.example", "o-2"),
    ]
    assert not service.dead()


async def test_a_corrected_cloud_event_keeps_its_source(service: Running) -> None:
    await posting.post(service, [cloud("/shop", "o-1", subject=None)], **BATCH)
    ((_, rejection_id),) = (await rejected(service)).items()

    async def corrected(source: str) -> Any:
        reply = await service.client.put(
            f"/v1/rejections/{rejection_id}",
            json=cloud(source, "o-1"),
            headers=service.key("operate"),
        )
        return [one["path"] for one in reply.json()["errors_now"]]

    assert await corrected("/other") == ["source"]
    assert await corrected("/shop") == []
    assert await replayed(service, ids=[rejection_id]) == ["replayed"]
    await posting.post(service, [cloud("/shop", "o-1")], **BATCH)
    await service.settle()
    assert [one.source for one in service.published(OrderCompleted)] == ["/sources/ingest//shop"]
    assert not service.dead()


async def test_a_call_is_replayed_as_what_its_batch_made_of_it(service: Running) -> None:
    """Its context stood beside it, and a double would not hold its digits."""
    later = (NOON + timedelta(hours=2)).isoformat()
    call = calling.order(timestamp=later, revenue="REVENUE", currency=None)
    call["timestamp"] = call["properties"].pop("timestamp")
    body = {"batch": [call], "context": {"locale": "de-DE", "ip": "203.0.113.9"}}
    sent = json.dumps(body).encode().replace(b'"REVENUE"', b"123456789012.123456")
    assert len((await calling.send(service, sent)).json()["rejected"]) == 1

    await rejected(service)
    service.clock.advance(timedelta(hours=3))
    assert await replayed(service, reason="future_time") == ["replayed"]
    assert len((await calling.send(service, sent)).json()["accepted"]) == 1

    await service.settle()
    (published,) = service.published(OrderCompleted)
    assert str(published.data.total) == "123456789012.123456"
    assert published.data.context is not None
    assert published.data.context.locale == "de-DE"
    assert not service.dead()
