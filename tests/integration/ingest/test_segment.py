"""Segment's interface on the wire: what its clients send becomes events, each once."""

import base64
import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from services.ingest.api.segment_paths import POSTS
from services.ingest.domain.segment.calls import Kind
from services.ingest.main import build
from shared.clock import ManualClock
from shared.events.commerce import OrderCompleted
from shared.events.engagement import CustomerUpdated, CustomEvent, MessageOpened, PageViewed
from shared.runtime.metrics import REGISTRY
from shared.runtime.service import Service
from shared.testing.builders import NOON
from shared.testing.harness import Running, running
from tests.integration.ingest.calling import ORIGIN, basic, key_of, order, post, send, track


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Running]:
    async with running(build, database_url, clock=ManualClock(NOON)) as started:
        yield started


async def test_a_batch_is_published_and_its_receipt_tells_each_call(service: Running) -> None:
    reply = await send(service, {"batch": [order("m-1"), order("m-2", currency="x"), track("m-3")]})

    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.json() == {
        "success": True,
        "accepted": [{"index": 0, "id": "m-1"}, {"index": 2, "id": "m-3"}],
        "rejected": [
            {
                "index": 1,
                "id": "m-2",
                "errors": [
                    {
                        "path": "batch.1.properties.currency",
                        "message": "String should match pattern '^[A-Z]{3}$'",
                    }
                ],
            }
        ],
    }
    await service.settle()
    (placed,) = service.published(OrderCompleted)
    assert (placed.id, placed.subject, str(placed.data.total)) == ("m-1", "c-1", "12.99")
    assert [one.type for one in service.published(CustomEvent)] == ["custom.lamp_lit"]


async def test_a_refused_call_is_listed_as_it_was_sent(service: Running) -> None:
    bad = order(currency="x")
    reply = await send(service, {"batch": [bad]})
    assert reply.status_code == 200
    await service.settle()

    listed = await service.client.get("/v1/rejections", headers=service.key("operate"))
    (one,) = listed.json()["items"]
    assert (one["event_id"], one["event_type"]) == ("m-1", "order.completed")
    assert one["errors"][0]["path"] == "batch.0.properties.currency"
    assert one["body"] == bad


CALLS: dict[Kind | None, dict[str, Any]] = {
    "identify": {"userId": "c-1", "traits": {"email": "a@example.org"}},
    "track": {"userId": "c-1", "event": "x"},
    "page": {"userId": "c-1", "name": "Home"},
    "screen": {"userId": "c-1", "name": "Main"},
    "group": {"userId": "c-1", "groupId": "g-1"},
    "alias": {"userId": "c-1", "previousId": "a-1"},
    None: {"batch": [{"type": "track", "userId": "c-1", "event": "x"}]},
}


async def test_every_path_takes_its_calls_without_a_redirection(service: Running) -> None:
    for path, kind in POSTS.items():
        reply = await send(service, CALLS[kind], path)

        assert reply.status_code == 200, (path, reply.text)
        assert len(reply.json()["accepted"]) == 1, path


async def test_a_call_sent_again_counts_once(service: Running) -> None:
    for _ in range(3):
        assert (await send(service, {"batch": [track("m-1"), track("m-2")]})).status_code == 200
    await service.settle()
    assert sorted(one.id for one in service.published(CustomEvent)) == ["m-1", "m-2"]
    assert not service.dead()


async def test_an_alias_makes_one_person_of_two_ids(service: Running) -> None:
    seen = {"anonymousId": "device-1", "name": "Home", "messageId": "p-1"}
    await send(service, seen, "/v1/page")
    await service.settle()
    await send(service, {"previousId": "device-1", "userId": "c-1"}, "/v1/alias")
    await service.settle()

    reply = await service.client.get("/v1/customers/device-1/identity", headers=service.key("read"))
    assert reply.json()["customer_id"] == "c-1"


WIRES: dict[str, tuple[dict[str, Any], dict[str, str], bool]] = {
    "segment-analytics-python, before 2.4": (
        {
            "batch": [
                track(
                    anonymousId=None,
                    timestamp="2026-03-02T11:00:00.123+00:00",
                    context={"library": {"name": "analytics-python"}},
                    integrations={},
                    properties={},
                )
            ],
            "sentAt": "2026-03-02T11:00:00.123456+00:00",
            "writeKey": "KEY",
        },
        {"Content-Type": "application/json"},
        False,
    ),
    "rudder-sdk-python": (
        {
            "batch": [
                track(
                    anonymousId="",
                    timestamp="2026-03-02T11:00:00.123456+00:00",
                    integrations={"All": True},
                )
            ],
            "sentAt": "2026-03-02T11:00:00.123456+00:00",
        },
        {"Content-Type": "application/json", "Authorization": "BASIC"},
        True,
    ),
    "@segment/analytics-node": (
        {
            "batch": [
                track(
                    "node-next-1772445600000-0d9a3a3e-7b1c-4f0e-8e43-0a1f7e2b9c11",
                    timestamp="2026-03-02T11:00:00.123Z",
                    _metadata={"nodeVersion": "20.1.0", "jsRuntime": "node"},
                    properties={},
                )
            ],
            "writeKey": "KEY",
            "sentAt": "2026-03-02T11:00:00.200Z",
        },
        {"Content-Type": "application/json", "Authorization": "BASIC"},
        False,
    ),
    "@rudderstack/rudder-sdk-node": (
        {
            "batch": [
                track(
                    originalTimestamp="2026-03-02T11:00:00.123Z",
                    sentAt="2026-03-02T11:00:00.200Z",
                    _metadata={"nodeVersion": "20.1.0"},
                )
            ],
            "timestamp": "2026-03-02T11:00:00.210Z",
            "sentAt": "2026-03-02T11:00:00.210Z",
        },
        {"Content-Type": "application/x-www-form-urlencoded", "Authorization": "BASIC"},
        True,
    ),
}


async def test_what_each_client_sends_is_taken(service: Running) -> None:
    key = key_of(service)
    for number, (client, (body, headers, compressed)) in enumerate(WIRES.items()):
        text = json.dumps(body).replace('"KEY"', json.dumps(key)).replace('"m-1"', f'"m-{number}"')
        content = text.encode()
        sent = headers | {"User-Agent": client}
        if sent.pop("Authorization", None):
            sent |= basic(f"{key}:")
        if compressed:
            content, sent = gzip.compress(content), sent | {"Content-Encoding": "gzip"}

        reply = await post(service, "/v1/batch", content, **sent)

        assert reply.status_code == 200, (client, reply.text)
        assert (reply.json()["success"], len(reply.json()["accepted"])) == (True, 1), client
    await service.settle()
    lit = service.published(CustomEvent)
    assert len(lit) == len(WIRES)
    assert {one.time.isoformat()[:23] for one in lit} == {"2026-03-02T11:00:00.123"}


async def test_a_browser_posts_text_under_its_short_paths_and_may_read_the_answer(
    service: Running,
) -> None:
    """`@segment/analytics-next`: first its settings, then one call a request, labelled as text."""
    key = key_of(service)
    found = await service.client.get(f"/v1/projects/{key}/settings", headers={"Origin": ORIGIN})
    segment = found.json()["integrations"]["Segment.io"]
    assert found.status_code == 200
    assert (segment["apiKey"], segment["apiHost"]) == (key, "test/v1")
    assert found.json()["plan"]["track"]["__default"]["enabled"] is True

    page = {
        "timestamp": "2026-03-02T11:00:00.123Z",
        "integrations": {},
        "type": "page",
        "properties": {"path": "/a", "url": "https://shop.example/a", "title": "A"},
        "context": {"page": {"url": "https://shop.example/a"}, "locale": "en-GB"},
        "userId": None,
        "anonymousId": "2b2a6a3c-6d5c-4c8e-9d0c-3f1f3c7a9c10",
        "messageId": "ajs-next-1772445600123-2b2a6a3c-6d5c-4c8e-9d0c-3f1f3c7a9c10",
        "writeKey": key,
        "sentAt": "2026-03-02T11:00:00.130Z",
        "_metadata": {"bundled": ["Segment.io"]},
    }
    headers = {"Content-Type": "text/plain", "Origin": ORIGIN} | basic(f"{key}:")
    reply = await post(service, "/v1/p", page, **headers)

    assert reply.status_code == 200
    assert reply.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert reply.headers["Access-Control-Allow-Credentials"] == "true"
    assert reply.headers["Access-Control-Expose-Headers"] == "Retry-After"
    await service.settle()
    (seen,) = service.published(PageViewed)
    assert seen.data.url == "https://shop.example/a"


async def test_behind_a_proxy_the_settings_tell_its_scheme(service: Running) -> None:
    path = f"/v1/projects/{key_of(service)}/settings"
    reply = await service.client.get(path, headers={"X-Forwarded-Proto": "https"})
    assert reply.json()["integrations"]["Segment.io"]["protocol"] == "https"
    reply = await service.client.get(path, headers={"X-Forwarded-Proto": "javascript"})
    assert reply.json()["integrations"]["Segment.io"]["protocol"] == "http"


async def test_a_pixel_is_a_call_and_always_an_image(service: Running) -> None:
    key = key_of(service)
    opened = {
        "writeKey": key,
        "userId": "c-1",
        "messageId": "m-1",
        "event": "Email Opened",
        "properties": {"email_id": "mail-1"},
    }
    data = base64.urlsafe_b64encode(json.dumps(opened).encode()).decode().rstrip("=")
    spelled = {
        "writeKey": key,
        "userId": "c-1",
        "messageId": "m-2",
        "event": "Email Opened",
        "properties.email_id": "mail-2",
    }
    nested = {"writeKey": key, "anonymousId": "a-1", "properties": '{"url": "https://shop/"}'}
    for path, query in (
        ("/v1/pixel/track", {"data": data}),
        ("/v1/pixel/track", spelled),
        ("/pixel/v1/page", nested),
        ("/v1/pixel/track", {"data": "%%%"}),
        ("/v1/pixel/track", {"data": data, "writeKey": "x"}),
        ("/v1/pixel/nonsense", spelled),
        ("/v1/pixel/track", {}),
    ):
        reply = await service.client.get(path, params=query)
        assert reply.status_code == 200, path
        assert reply.headers["content-type"] == "image/gif"
        assert reply.content.startswith(b"GIF89a")
    await service.settle()
    opens = service.published(MessageOpened)
    assert sorted((one.id, one.data.message_id) for one in opens) == [
        ("m-1", "mail-1"),
        ("m-2", "mail-2"),
    ]
    assert [one.data.url for one in service.published(PageViewed)] == ["https://shop/"]


async def test_what_a_pixel_loses_is_counted(service: Running) -> None:
    call = {"userId": "c-1", "event": "x"}
    key = {"writeKey": key_of(service)}
    lost: list[tuple[str, str, dict[str, str]]] = [
        ("unauthorized", "/v1/pixel/track", call | {"writeKey": "x"}),
        ("forbidden", "/v1/pixel/track", call | {"writeKey": key_of(service, "read")}),
        ("bad_request", "/pixel/v1/track", key | {"data": "%%%"}),
        ("unauthorized", "/v1/pixel/track", {}),
        ("not_found", "/v1/pixel/nonsense", call | key),
    ]
    for code, path, query in lost:
        before = REGISTRY.get_sample_value("ingest_pixel_losses_total", {"code": code}) or 0
        assert (await service.client.get(path, params=query)).status_code == 200
        assert REGISTRY.get_sample_value("ingest_pixel_losses_total", {"code": code}) == before + 1

    service.log.available = False
    before = REGISTRY.get_sample_value("ingest_pixel_losses_total", {"code": "unavailable"}) or 0
    await service.client.get("/v1/pixel/track", params=call | key)
    assert (
        REGISTRY.get_sample_value("ingest_pixel_losses_total", {"code": "unavailable"})
        == before + 1
    )


async def test_a_pixel_is_an_image_also_without_a_broker(service: Running) -> None:
    service.log.available = False
    query = {"writeKey": key_of(service), "userId": "c-1", "event": "x"}
    assert (await service.client.get("/v1/pixel/track", params=query)).status_code == 200


async def test_traits_of_a_call_reach_the_topic(service: Running) -> None:
    traits = {"email": "ada@example.org", "score": 1.5, "address": {"city": "London"}}
    await send(service, {"userId": "c-1", "traits": traits}, "/v1/identify")
    await service.settle()
    (updated,) = service.published(CustomerUpdated)
    assert updated.data.email == "ada@example.org"
    assert updated.data.custom == {"score": 1.5, "address_city": "London"}


async def test_without_a_place_before_the_router_the_routes_answer_the_same(
    database_url: str,
) -> None:
    def plainly(settings: Any = None) -> Service:
        return replace(build(settings), wrap=None)

    async with running(plainly, database_url, consume=False) as service:
        assert (await send(service, {"batch": [track()]})).status_code == 200


async def test_the_documentation_shows_every_path(service: Running) -> None:
    document = (await service.client.get("/openapi.json")).json()
    for path in POSTS:
        assert (path in document["paths"]) is not path.endswith("/")
    schemes = document["components"]["securitySchemes"]
    needed = {name for one in document["paths"]["/v1/batch"]["post"]["security"] for name in one}
    assert needed == {"HTTPBasic", "HTTPBearer", "WriteKey"} <= set(schemes)
    answers = document["paths"]["/v1/batch"]["post"]["responses"]
    assert {"200", "400", "401", "403", "429", "503"} <= set(answers)
    for path in ("/v1/projects/{key}/settings", "/v1/pixel/{call}", "/pixel/v1/{call}"):
        assert document["paths"][path]["get"]["x-public"] is True
