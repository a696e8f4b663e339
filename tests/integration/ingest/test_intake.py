"""`POST /v1/events`: verdicts, receipts, limits, and what the broker had before the answer."""

import asyncio
import gzip
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.ingest.main import build
from shared.clock import ManualClock
from shared.events.commerce import OrderCompleted
from shared.events.engagement import CustomEvent, PageViewed
from shared.events.topics import RECEIVED
from shared.runtime.log import Outgoing
from shared.runtime.service import Service
from shared.testing.builders import NOON
from shared.testing.harness import Running, running
from shared.testing.memory_log import MemoryLog
from tests.integration.ingest.posting import order, post, visit

JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def service(database_url: str) -> Any:
    async with running(build, database_url, clock=ManualClock(NOON)) as started:
        yield started


async def test_an_accepted_order_is_published_under_its_customer(service: Running) -> None:
    reply = await post(service, order(id="e-1", occurred_at="2026-03-01T10:00:00+02:00"))

    assert reply.status_code == 202
    assert reply.json() == {"accepted": [{"index": 0, "id": "e-1"}], "rejected": []}
    await service.settle()
    (published,) = service.published(OrderCompleted)
    assert (published.id, published.subject, published.alias) == ("e-1", "c-1", None)
    assert published.source == "/sources/ingest"
    assert published.time.isoformat() == "2026-03-01T08:00:00+00:00"
    assert published.recordedtime == NOON
    assert published.cause is None
    assert str(published.data.total) == "12.99"


async def test_an_event_without_id_and_time_gets_both(service: Running) -> None:
    reply = await post(service, visit())

    given = reply.json()["accepted"][0]["id"]
    await service.settle()
    (published,) = service.published(PageViewed)
    assert published.id == given
    assert published.time == NOON


async def test_context_of_the_envelope_and_custom_properties_reach_the_topic(
    service: Running,
) -> None:
    await post(
        service,
        {
            "type": "custom.gift_wrapped",
            "customer_id": "c-1",
            "data": {"paper": "red", "count": 2},
            "context": {"channel": "web"},
        },
    )

    await service.settle()
    (published,) = service.published(CustomEvent)
    assert published.type == "custom.gift_wrapped"
    assert published.data.properties == {"paper": "red", "count": 2}
    assert published.data.context is not None
    assert published.data.context.channel == "web"


async def test_one_bad_event_of_a_batch_is_told_apart_with_its_exact_path(
    service: Running,
) -> None:
    bad = order("o-2", id="e-2")
    bad["data"]["items"] = [{"sku": "A", "quantity": -1, "unit_price": "1.00"}]

    reply = await post(service, {"events": [order(id="e-1"), bad, visit(id="e-3")]})

    assert reply.status_code == 202
    assert [one["id"] for one in reply.json()["accepted"]] == ["e-1", "e-3"]
    assert reply.json()["rejected"] == [
        {
            "index": 1,
            "id": "e-2",
            "errors": [
                {
                    "path": "events.1.data.items.0.quantity",
                    "message": "Input should be greater than or equal to 0",
                }
            ],
        }
    ]
    await service.settle()
    assert {one.id for one in service.published(OrderCompleted, PageViewed)} == {
        "e-1",
        "e-3",
    }


async def test_a_request_without_an_acceptable_event_is_a_problem_with_the_same_shape(
    service: Running,
) -> None:
    reply = await post(service, {"type": "order.complete", "customer_id": "c-1", "data": {}})

    assert reply.status_code == 422
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["accepted"] == []
    assert reply.json()["rejected"][0]["errors"][0]["path"] == "type"
    assert reply.json()["errors"] == reply.json()["rejected"][0]["errors"]


async def test_the_events_of_one_request_and_partition_are_one_record(service: Running) -> None:
    await post(service, {"events": [visit(id=f"e-{n}") for n in range(50)]})

    assert len(service.log.records(RECEIVED.name)) == 1
    await service.settle()
    assert [one.id for one in service.published(PageViewed)] == [f"e-{n}" for n in range(50)]


async def test_a_large_request_is_cut_into_records_that_fit_and_keeps_its_order(
    database_url: str,
) -> None:
    async with running(build, database_url, settings={"bundle_bytes_max": 65_536}) as service:
        long = "x" * 900
        events = [visit(id=f"e-{n}", data={"url": long}) for n in range(200)]
        await post(service, {"events": events})

        sizes = [len(one.value or b"") for one in service.log.records(RECEIVED.name)]
        assert len(sizes) > 1
        assert max(sizes) < 70_000
        await service.settle()
        assert [one.id for one in service.published(PageViewed)] == [f"e-{n}" for n in range(200)]


async def test_a_gzipped_body_is_taken(service: Running) -> None:
    body = gzip.compress(json.dumps({"events": [visit(), visit()]}).encode())

    reply = await post(service, body, **{"Content-Encoding": "gzip"})

    assert len(reply.json()["accepted"]) == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (gzip.compress(b" " * 50_000_000), 413),
        (gzip.compress(b"{}")[:-4], 400),
        (gzip.compress(b"{}") + gzip.compress(b"{}"), 400),
        (b"not gzip at all", 400),
        (b"", 400),
    ],
    ids=["bomb", "cut short", "two members", "not gzip", "empty"],
)
async def test_a_hostile_compressed_body_is_refused(
    service: Running, body: bytes, status: int
) -> None:
    reply = await post(service, body, **{"Content-Encoding": "gzip"})

    assert reply.status_code == status


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"\xff\xfe", {}, 400),
        (b'{"events": []}', {}, 422),
        (b"[]", {}, 422),
        (b" " * 1_100_000, {}, 413),
        (b'{"events": [' + b"1," * 3_000 + b"1]}", {}, 413),
        (b"{}", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b"{}", {"Content-Encoding": "br"}, 415),
        (b"{}", {"Authorization": "Bearer tn_ingest_" + "x" * 43}, 401),
        (b"{}", {"Authorization": "Basic aaaa"}, 401),
        (b'{"a":' * 30_000 + b"1" + b"}" * 30_000, {}, 400),
    ],
    ids=[
        "not JSON",
        "not UTF-8",
        "no events",
        "a list",
        "too many bytes",
        "too many events",
        "a form",
        "brotli",
        "wrong secret",
        "wrong scheme",
        "nested without end",
    ],
)
async def test_a_request_that_cannot_be_judged_is_refused_as_a_problem(
    service: Running, body: bytes, headers: dict[str, str], status: int
) -> None:
    reply = await post(service, body, **headers)

    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["detail"]
    assert not service.log.records(RECEIVED.name)


async def test_a_key_without_the_scope_may_not_post(service: Running) -> None:
    reply = await service.client.post(
        "/v1/events", content=b"{}", headers=JSON | service.key("read")
    )

    assert reply.status_code == 403


async def test_an_absent_broker_is_told_at_once_and_nothing_is_promised(
    service: Running,
) -> None:
    service.log.available = False

    reply = await post(service, visit(id="e-1"))

    assert reply.status_code == 503
    assert int(reply.headers["Retry-After"]) >= 1
    service.log.available = True
    assert (await post(service, visit(id="e-1"))).status_code == 202


async def test_more_bytes_in_flight_than_allowed_are_turned_away(database_url: str) -> None:
    settings = {"in_flight_bytes_max": 1_048_576, "inflated_bytes_max": 4_194_304}
    async with running(build, database_url, settings=settings) as service:
        padded = gzip.compress(json.dumps(visit()).encode() + b" " * 2_000_000)
        reply = await post(service, padded, **{"Content-Encoding": "gzip"})

        assert reply.status_code == 503
        assert reply.headers["Retry-After"] == "1"
        assert (await post(service, visit())).status_code == 202


async def test_a_key_that_posts_too_fast_is_slowed_down(database_url: str) -> None:
    settings = {"key_events_per_second_max": 0.01, "key_burst_seconds": 100.0}
    async with running(build, database_url, settings=settings) as service:
        assert (await post(service, {"events": [visit() for _ in range(5)]})).status_code == 202

        reply = await post(service, visit())

        assert reply.status_code == 429
        assert 300 < int(reply.headers["Retry-After"]) <= 401


async def test_what_cannot_be_read_is_paid_for(database_url: str) -> None:
    settings = {"key_events_per_second_max": 0.01, "key_burst_seconds": 200.0}
    async with running(build, database_url, settings=settings, consume=False) as service:
        statuses = [(await post(service, b"{")).status_code for _ in range(5)]
        assert statuses == [400, 400, 400, 429, 429]


async def test_the_future_is_refused_and_the_distant_past_is_not(service: Running) -> None:
    soon = (NOON + timedelta(minutes=59)).isoformat()
    later = (NOON + timedelta(minutes=61)).isoformat()

    reply = await post(
        service,
        {
            "events": [
                visit(occurred_at=soon),
                visit(occurred_at=later),
                visit(occurred_at="2009-12-01T08:26:00Z"),
            ]
        },
    )

    assert [one["index"] for one in reply.json()["accepted"]] == [0, 2]
    assert reply.json()["rejected"][0]["errors"][0]["path"] == "events.1.occurred_at"


async def test_simultaneous_requests_are_written_together(service: Running) -> None:
    replies = await asyncio.gather(*(post(service, visit(id=f"e-{n}")) for n in range(40)))

    assert {reply.status_code for reply in replies} == {202}
    await service.settle()
    assert {one.id for one in service.published(PageViewed)} == {f"e-{n}" for n in range(40)}


async def test_the_trace_of_the_caller_goes_with_the_event(service: Running) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    await post(service, visit(), traceparent=trace)

    await service.settle()
    (record,) = service.log.records("ingest.events")
    assert record.header("traceparent") == trace


async def test_a_cut_before_the_write_promises_nothing_and_writes_nothing(
    service: Running,
) -> None:
    service.failpoints.arm("intake.before_write", "error")

    assert (await post(service, visit(id="e-1"))).status_code == 503
    assert not service.log.records(RECEIVED.name)


async def test_a_cut_after_the_write_promises_nothing_and_the_repetition_counts_once(
    service: Running,
) -> None:
    service.failpoints.arm("intake.after_write", "error")
    assert (await post(service, visit(id="e-1"))).status_code == 503
    service.failpoints.disarm("intake.after_write")

    assert (await post(service, visit(id="e-1"))).status_code == 202

    await service.settle()
    assert len(service.log.records(RECEIVED.name)) == 2
    assert [one.id for one in service.published(PageViewed)] == ["e-1"]


async def test_a_broker_that_does_not_answer_in_time_is_told_as_unavailable(
    database_url: str,
) -> None:
    settings = {"acknowledgement_seconds_max": 0.01, "drain_seconds": 0.01}
    async with running(build, database_url, settings=settings, log=SilentLog()) as service:
        reply = await post(service, visit())

        assert reply.status_code == 503
        assert reply.headers["Retry-After"]


async def test_without_its_place_before_the_router_the_route_answers_the_same(
    database_url: str,
) -> None:
    def plainly(settings: Any = None) -> Service:
        return replace(build(settings), wrap=None)

    async with running(plainly, database_url) as service:
        reply = await post(service, {"events": [visit(id="e-1"), 5]})

        assert reply.status_code == 202
        assert [one["id"] for one in reply.json()["accepted"]] == ["e-1"]
        assert (await post(service, b"{")).status_code == 400


class SilentLog(MemoryLog):
    """A broker that takes connections and never acknowledges what the door writes."""

    async def append(self, records: Sequence[Outgoing]) -> None:
        if any(record.topic == RECEIVED.name for record in records):
            await asyncio.Event().wait()
        await super().append(records)
