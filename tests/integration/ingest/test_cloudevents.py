"""CloudEvents posted to the running service, in all three modes."""

import gzip
import json
from typing import Any

import pytest

from services.ingest.main import build
from shared.clock import ManualClock
from shared.events.commerce import OrderCompleted
from shared.events.topics import RECEIVED
from shared.testing.builders import NOON
from shared.testing.harness import Running, running
from tests.integration.ingest.posting import order, post

ONE, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json; charset=UTF-8"


@pytest.fixture
async def service(database_url: str) -> Any:
    async with running(build, database_url, clock=ManualClock(NOON)) as started:
        yield started


def cloud(order_id: str = "o-1", **given: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/shop",
        "type": "order.completed",
        "subject": "c-1",
        "data": order(order_id)["data"],
        **given,
    }


async def test_one_becomes_an_event_of_the_key_and_its_source(service: Running) -> None:
    sent = cloud(time="2026-03-01T10:00:00+02:00", anonymousid="device-1", comexample="ignored")
    reply = await post(service, sent, **{"Content-Type": ONE})

    assert reply.status_code == 202
    assert reply.json() == {"accepted": [{"index": 0, "id": "e-1"}], "rejected": []}
    await service.settle()
    (published,) = service.published(OrderCompleted)
    assert (published.id, published.subject) == ("e-1", "c-1")
    assert published.source == "/sources/ingest//shop"
    assert published.time.isoformat() == "2026-03-01T08:00:00+00:00"
    assert str(published.data.total) == "12.99"


async def test_ids_are_unique_per_source_and_a_copy_counts_once(service: Running) -> None:
    batch = [cloud("o-1"), cloud("o-1"), cloud("o-2", source="https://other.example")]
    for _ in range(2):
        reply = await post(service, batch, **{"Content-Type": BATCH})
        assert [one["index"] for one in reply.json()["accepted"]] == [0, 1, 2]

    await service.settle()
    found = [(one.source, one.data.order_id) for one in service.published(OrderCompleted)]
    assert found == [
        ("/sources/ingest//shop", "o-1"),
        ("/sources/ingest/https://other.example", "o-2"),
    ]
    assert not service.dead()


async def test_one_bad_event_of_a_batch_is_told_apart(service: Running) -> None:
    bad = cloud("o-2", subject=None)
    bad["data"]["total"] = -1

    reply = await post(service, [cloud(), bad], **{"Content-Type": BATCH})

    assert reply.status_code == 202
    (rejected,) = reply.json()["rejected"]
    assert (rejected["index"], rejected["errors"][0]["path"]) == (1, "1.data.total")
    await service.settle()
    listed = await service.client.get("/v1/rejections", headers=service.key("operate"))
    assert listed.json()["items"][0]["body"] == bad


async def test_binary_mode_takes_attributes_from_percent_encoded_headers(
    service: Running,
) -> None:
    body = gzip.compress(json.dumps(order()["data"]).encode())
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "Euro%20%E2%82%AC",
        "ce-source": "/shop",
        "ce-type": "order.completed",
        "ce-subject": '"c 1"',
        "ce-unknown": "%ff",
    }
    reply = await post(service, body, **headers, **{"Content-Encoding": "gzip"})

    assert reply.json() == {"accepted": [{"index": 0, "id": "Euro €"}], "rejected": []}
    await service.settle()
    (published,) = service.published(OrderCompleted)
    assert (published.id, published.subject) == ("Euro €", "c 1")


async def test_a_bad_header_of_binary_mode_is_told_by_its_name(service: Running) -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "%C0%A0", "ce-source": "/s", "ce-type": "x"}
    reply = await post(service, order()["data"], **headers)

    assert reply.status_code == 422
    assert {one["path"] for one in reply.json()["errors"]} == {"ce-id", "ce-type"}


async def test_an_empty_batch_is_taken_and_writes_nothing(service: Running) -> None:
    reply = await post(service, [], **{"Content-Type": BATCH})

    assert (reply.status_code, reply.json()) == (202, {"accepted": [], "rejected": []})
    assert not service.log.records(RECEIVED.name)


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/cloudevents+avro", b"x", 415),
        ("text/xml", b"<a/>", 415),
        (ONE, b"[]", 422),
        (ONE, b"{", 400),
        (BATCH, b"{}", 422),
        (BATCH, b"[" + b"1," * 2_500 + b"1]", 413),
        (BATCH, b"[" * 50_000, 400),
        (ONE, b" " * 1_100_000, 413),
    ],
)
async def test_what_cannot_be_read_is_refused_as_a_problem(
    service: Running, content_type: str, body: bytes, status: int
) -> None:
    reply = await post(service, body, **{"Content-Type": content_type, "ce-id": "1"})

    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert not service.log.records(RECEIVED.name)


async def test_a_source_takes_what_room_the_key_s_leaves_it(service: Running) -> None:
    room = 200 - len("/sources/ingest/")
    fits = await post(service, cloud(source="x" * room), **{"Content-Type": ONE})
    too_long = await post(service, cloud(source="x" * (room + 1)), **{"Content-Type": ONE})

    assert (fits.status_code, too_long.status_code) == (202, 422)
    assert too_long.json()["errors"][0]["path"] == "source"
    await service.settle()
    assert len(service.published(OrderCompleted)) == 1
