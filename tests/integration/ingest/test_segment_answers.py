"""Whom Segment's interface lets in, and how it refuses: as its clients understand it."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.ingest.api.segment_paths import POSTS
from services.ingest.domain.segment.verdict import SLICE
from services.ingest.main import build
from shared.clock import ManualClock
from shared.events.engagement import CustomEvent
from shared.events.topics import RECEIVED
from shared.testing.builders import NOON
from shared.testing.harness import Running, running
from tests.integration.ingest.calling import ORIGIN, basic, key_of, post, send, track

PREFLIGHT = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Running]:
    async with running(build, database_url, clock=ManualClock(NOON)) as started:
        yield started


async def test_a_preflight_is_answered(service: Running) -> None:
    asked = "authorization,content-type,x-write-key,x-retry-count"
    for path in POSTS:
        reply = await service.client.options(
            path, headers=PREFLIGHT | {"Access-Control-Request-Headers": asked}
        )
        assert reply.status_code == 204, path
        assert reply.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert reply.headers["Access-Control-Allow-Credentials"] == "true"
        assert "POST" in reply.headers["Access-Control-Allow-Methods"]
        allowed = reply.headers["Access-Control-Allow-Headers"].split(", ")
        assert set(asked.split(",")) <= set(allowed), path


async def test_the_settings_of_an_unknown_key_are_not_there(service: Running) -> None:
    for key in ("x", f"tn_ingest_{'x' * 43}", key_of(service, "read")):
        reply = await service.client.get(f"/v1/projects/{key}/settings")
        assert (reply.status_code, reply.json()["code"]) == (404, "not_found")


async def test_a_test_key_has_settings_too(service: Running) -> None:
    wanted = {"scopes": ["ingest"], "label": "ci", "test": True}
    reply = await service.client.post("/v1/keys", json=wanted, headers=service.key("admin"))
    await service.settle()
    service.context.keys.apply(service.log.records("ingest.keys"))

    found = await service.client.get(f"/v1/projects/{reply.json()['key']}/settings")

    assert found.status_code == 200, found.text


async def test_the_key_is_found_wherever_a_client_puts_it(service: Running) -> None:
    key = key_of(service)
    plain = {"batch": [track()]}
    ways: list[tuple[str, dict[str, Any], dict[str, str]]] = [
        ("/v1/batch", plain, basic(f"{key}:")),
        ("/v1/batch", plain, basic(key)),
        ("/v1/batch", plain, {"Authorization": f"Bearer {key}"}),
        ("/v1/batch", plain | {"writeKey": key}, {"Authorization": "Bearer a-token-of-oauth"}),
        ("/v1/batch", plain | {"writeKey": key}, {}),
        ("/v1/batch", plain | {"writeKey": key}, basic("a-proxy:its-password")),
        ("/v1/batch", plain, basic("a-proxy:its-password") | {"X-Write-Key": key}),
        ("/v1/batch", {"batch": [track(writeKey=key)]}, {}),
        ("/v1/batch", plain, {"X-Write-Key": key}),
        (f"/beacon/v1/batch?writeKey={key}", plain, {}),
        ("/v1/track", track(writeKey=key), {}),
    ]
    for path, body, headers in ways:
        reply = await post(service, path, body, **headers)
        assert reply.status_code == 200, (path, headers, reply.text)


async def test_the_first_key_in_that_order_decides(service: Running) -> None:
    key, wrong = key_of(service), f"tn_ingest_{'x' * 43}"
    body = {"batch": [track()], "writeKey": key}
    for path, sent, headers in (
        ("/v1/batch", body, basic(f"{wrong}:")),
        ("/v1/batch", body | {"writeKey": wrong}, {"X-Write-Key": key}),
        (f"/v1/batch?writeKey={key}", {"batch": [track()]}, {"X-Write-Key": wrong}),
    ):
        assert (await post(service, path, sent, **headers)).status_code == 401, (path, headers)


HOSTILE_KEYS: tuple[Any, ...] = (
    "\ud800",
    f"tn_ingest_{chr(0xD800) * 43}",
    f"tn_{chr(0xDFFF)}_{'x' * 43}",
    "tn_ingest_" + "é" * 43,
    "tn_ingest_" + "\x00" * 43,
    "tn__",
    "x" * 100_000,
    10**40,
    True,
    [],
    {"tn": "_"},
    None,
)


async def test_a_key_that_is_none_is_told_as_unknown(service: Running) -> None:
    for key in HOSTILE_KEYS:
        for path, body in (
            ("/v1/track", track(writeKey=key)),
            ("/v1/batch", {"batch": [track(writeKey=key)], "writeKey": key}),
            ("/v1/batch", {"batch": [track(userId=f"tn_ingest_{'x' * 43}")], "writeKey": key}),
        ):
            reply = await post(service, path, body)
            assert (reply.status_code, reply.json()["code"]) == (401, "unauthorized"), repr(key)


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 300_000, b'{"batch": 5}'])
async def test_nothing_is_taken_apart_for_who_names_no_key_that_may_post(
    service: Running, body: bytes
) -> None:
    for headers in ({}, {"X-Write-Key": "x"}, basic("a-proxy:its-password")):
        assert (await post(service, "/v1/batch", body, **headers)).status_code == 401
    named = body + b'"writeKey": "%b"' % key_of(service).encode()
    assert (await post(service, "/v1/batch", named)).status_code == 400


async def test_a_request_without_a_body_is_refused_wherever_its_key_stands(
    service: Running,
) -> None:
    key = key_of(service)
    for path, headers in (
        ("/v1/batch", basic(key)),
        ("/v1/batch", {"X-Write-Key": key}),
        (f"/v1/track?writeKey={key}", {}),
    ):
        reply = await post(service, path, b"", **headers)
        assert (reply.status_code, reply.json()["code"]) == (400, "bad_request"), path


UNTAKEN: tuple[tuple[bytes, dict[str, str], int, str], ...] = (
    (b"{", {}, 400, "bad_request"),
    (b"\xff\xfe", {}, 400, "bad_request"),
    (b"", {}, 400, "bad_request"),
    (b'{"batch": 5}', {}, 400, "bad_request"),
    (b" " * 600_000, {}, 400, "too_large"),
    (gzip.compress(b" " * 600_000), {"Content-Encoding": "gzip"}, 400, "too_large"),
    (b"x", {"Content-Encoding": "gzip"}, 400, "bad_request"),
    (b"{}", {"Content-Encoding": "br"}, 400, "bad_request"),
    (b'{"batch": [' + b"1," * 3_000 + b"1]}", {}, 400, "bad_request"),
    (b'{"batch": [1]}', basic(f"tn_ingest_{'x' * 43}:"), 401, "unauthorized"),
    (b'{"batch": [1]}', {"Authorization": "Basic %%%"}, 401, "unauthorized"),
    (b'{"batch": [1]}', {"Authorization": "Digest x"}, 401, "unauthorized"),
)


async def test_what_cannot_be_taken_is_told_as_clients_understand_it(service: Running) -> None:
    for body, headers, status, code in UNTAKEN:
        reply = await send(service, body, **{"Origin": ORIGIN, **headers})

        assert (reply.status_code, reply.json()["code"]) == (status, code), (body[:20], headers)
        assert reply.json()["message"]
        assert reply.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert not service.log.records(RECEIVED.name)


async def test_a_key_of_another_scope_may_not_post(service: Running) -> None:
    reply = await post(service, "/v1/batch", {"batch": []}, **basic(key_of(service, "read")))
    assert (reply.status_code, reply.json()["code"]) == (403, "forbidden")


async def test_an_empty_batch_is_taken_and_writes_nothing(service: Running) -> None:
    reply = await send(service, {"batch": []})
    assert reply.json() == {"success": True, "accepted": [], "rejected": []}
    assert not service.log.records(RECEIVED.name)


async def test_an_absent_broker_is_told_for_the_whole_batch_and_nothing_is_promised(
    service: Running,
) -> None:
    service.log.available = False

    reply = await send(service, {"batch": [track("m-1"), 5]})

    assert (reply.status_code, reply.json()["code"]) == (503, "unavailable")
    assert int(reply.headers["Retry-After"]) >= 1
    service.log.available = True
    assert (await send(service, {"batch": [track("m-1"), 5]})).status_code == 200


async def test_a_cut_after_the_write_promises_nothing_and_the_repetition_counts_once(
    service: Running,
) -> None:
    service.failpoints.arm("intake.after_write", "error")
    assert (await send(service, {"batch": [track("m-1")]})).status_code == 503
    service.failpoints.disarm("intake.after_write")
    assert (await send(service, {"batch": [track("m-1")]})).status_code == 200

    await service.settle()
    assert [one.id for one in service.published(CustomEvent)] == ["m-1"]


async def test_a_key_that_posts_too_fast_is_slowed_down(database_url: str) -> None:
    settings = {"key_events_per_second_max": 0.01, "key_burst_seconds": 100.0}
    async with running(build, database_url, settings=settings, consume=False) as service:
        assert (await send(service, {"batch": [track()] * 5})).status_code == 200

        reply = await send(service, {"batch": [track()]})

        assert (reply.status_code, reply.json()["code"]) == (429, "rate_limited")
        assert int(reply.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("body", [b"{", b'{"batch": [' + b"1," * 3_000 + b"1]}"])
async def test_what_cannot_be_read_is_paid_for(database_url: str, body: bytes) -> None:
    settings = {"key_events_per_second_max": 0.01, "key_burst_seconds": 200.0}
    async with running(build, database_url, settings=settings, consume=False) as service:
        statuses = [(await send(service, body)).status_code for _ in range(5)]
        assert statuses == [400, 400, 400, 429, 429]


async def test_others_get_their_turn_while_a_large_batch_is_judged(service: Running) -> None:
    body = {"batch": [track(f"m-{n}") for n in range(2_500)]}
    answering = asyncio.create_task(send(service, body))
    turns = 0
    while not answering.done():
        turns += 1
        await asyncio.sleep(0)

    assert len(answering.result().json()["accepted"]) == 2_500
    assert turns >= 2_500 / SLICE


async def test_a_shop_may_let_larger_requests_in(database_url: str) -> None:
    """RudderStack's clients send up to 4 MB."""
    settings = {"segment_request_bytes_max": 4_194_304, "segment_events_per_request_max": 5_000}
    async with running(build, database_url, settings=settings, consume=False) as service:
        calls = [track(f"m-{n}", properties={"text": "x" * 700}) for n in range(4_500)]
        body = json.dumps({"batch": calls}).encode()
        assert 3_000_000 < len(body) < 4_194_304

        for sent, headers in ((body, {}), (gzip.compress(body), {"Content-Encoding": "gzip"})):
            reply = await send(service, sent, **headers)
            assert len(reply.json()["accepted"]) == 4_500
        over = await send(service, body + b" " * 1_500_000)
        assert (over.status_code, over.json()["code"]) == (400, "too_large")
