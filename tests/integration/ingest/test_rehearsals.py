"""Test keys: what they post is judged, recorded, shown, and goes nowhere."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from services.ingest.main import build
from shared.clock import wall_now
from shared.events.topics import RECEIVED
from shared.runtime.auth import KeyRing
from shared.runtime.http import Problem, authorize
from shared.testing.harness import Running, running
from tests.integration.ingest.posting import order, visit


@pytest.fixture
async def service(database_url: str) -> Any:
    settings = {
        "rehearsals_per_key_max": 20,
        "rehearsals_per_key_bytes_max": 40_500,
        "rehearsals_page_bytes_max": 8_000,
        "rejected_body_chars_max": 5_000,
    }
    async with running(build, database_url, settings=settings) as started:
        started.clock.set(wall_now())  # keys end by wall time, so these tests live in it
        yield started


async def a_test_key(service: Running, **given: Any) -> dict[str, str]:
    """Headers with a new test key."""
    body = {"scopes": ["ingest"], "label": "ci", "test": True} | given
    reply = await service.client.post("/v1/keys", json=body, headers=service.key("admin"))
    assert reply.status_code == 201, reply.text
    assert reply.json()["test"] is body["test"]
    await service.settle()
    service.context.keys.apply(service.log.records("ingest.keys"))
    return {"Authorization": f"Bearer {reply.json()['key']}"}


async def post(service: Running, key: dict[str, str], body: Any, **headers: str) -> Any:
    return await service.client.post(
        "/v1/events",
        content=json.dumps(body),
        headers={"Content-Type": "application/json"} | key | headers,
    )


async def shown(service: Running, key: dict[str, str], which: str, **query: Any) -> Any:
    reply = await service.client.get(f"/v1/test/{which}", params=query, headers=key)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def test_events_of_a_test_key_are_answered_and_shown_and_go_nowhere(
    service: Running,
) -> None:
    key = await a_test_key(service)
    bad = order("o-2", id="e-2")
    bad["data"]["total"] = "-1"
    reply = await post(service, key, {"events": [order(id="e-1"), bad, visit(id="e-3")]})

    assert reply.status_code == 202
    assert [one["id"] for one in reply.json()["accepted"]] == ["e-1", "e-3"]
    assert reply.json()["rejected"][0]["errors"][0]["path"] == "events.1.data.total"
    await service.settle()
    assert not service.log.records(RECEIVED.name)
    everything = await shown(service, key, "all")
    assert everything["counts"] == {"good": 2, "bad": 1}
    assert [(one["index"], one["id"], one["good"]) for one in everything["items"]] == [
        (0, "e-1", True), (1, "e-2", False), (2, "e-3", True),
    ]  # fmt: skip
    good, bad_shown = everything["items"][0], (await shown(service, key, "bad"))["items"]
    assert good["event"] == order(id="e-1")
    assert good["errors"] == []
    assert [one["event"] for one in bad_shown] == [bad]
    assert bad_shown[0]["errors"] == reply.json()["rejected"][0]["errors"]
    assert bad_shown[0]["type"] == "order.completed"
    assert [one["id"] for one in (await shown(service, key, "good"))["items"]] == ["e-1", "e-3"]


async def test_nothing_acceptable_is_answered_as_ever_and_recorded(service: Running) -> None:
    key = await a_test_key(service)
    reply = await post(service, key, {"type": "nonsense", "data": {"x": "\ud800\u0000"}})

    assert reply.status_code == 422
    (one,) = (await shown(service, key, "bad"))["items"]
    assert one["errors"] == reply.json()["errors"]
    assert (await post(service, key, [])).status_code == 422
    assert (await shown(service, key, "all"))["counts"] == {"good": 0, "bad": 1}


async def test_cloud_events_are_recorded_as_what_they_become(service: Running) -> None:
    key = await a_test_key(service)
    sent = {
        "specversion": "1.0", "id": "e-1", "source": "/s", "type": "order.completed",
        "subject": "c-1", "data": order()["data"],
    }  # fmt: skip
    headers = {"Content-Type": "application/cloudevents+json"}
    assert (await post(service, key, sent, **headers)).status_code == 202

    (one,) = (await shown(service, key, "good"))["items"]
    assert one["event"] == order(id="e-1")


async def test_each_key_has_its_own_and_reset_forgets_only_them(service: Running) -> None:
    one, other = await a_test_key(service), await a_test_key(service)
    for key in (one, other):
        await post(service, key, visit())

    reply = await service.client.post("/v1/test/reset", headers=one)

    assert reply.status_code == 204
    assert (await shown(service, one, "all"))["items"] == []
    assert (await shown(service, other, "all"))["counts"] == {"good": 1, "bad": 0}


async def test_only_the_last_events_of_a_key_are_kept_also_when_many_come_at_once(
    service: Running,
) -> None:
    key = await a_test_key(service)
    await post(service, key, {"events": [visit(id=f"a-{n}") for n in range(25)]})
    ids = [one["id"] for one in (await shown(service, key, "all"))["items"]]
    assert ids == [f"a-{n}" for n in range(5, 25)]

    batches = [{"events": [visit(id=f"b-{k}-{n}") for n in range(7)]} for k in range(8)]
    replies = await asyncio.gather(*(post(service, key, one) for one in batches))

    assert {reply.status_code for reply in replies} == {202}
    found = await shown(service, key, "all")
    assert found["counts"] == {"good": 20, "bad": 0}
    assert not [one for one in found["items"] if one["id"].startswith("a-")]


async def test_pages_go_on_by_cursor_and_a_foreign_one_is_told(service: Running) -> None:
    key = await a_test_key(service)
    await post(service, key, {"events": [visit(id=f"e-{n}") for n in range(5)]})

    first = await shown(service, key, "all", limit=3)
    rest = await shown(service, key, "all", limit=3, cursor=first["next_cursor"])

    ids = [one["id"] for one in (*first["items"], *rest["items"])]
    assert ids == [f"e-{n}" for n in range(5)]
    assert rest["next_cursor"] is None
    for cursor in ("x", "WyJhIl0", "Wy0xXQ", "W3RydWVd", "WzFlOTld"):
        reply = await service.client.get("/v1/test/all", params={"cursor": cursor}, headers=key)
        assert reply.status_code == 422, cursor


async def test_large_events_are_cut_pages_of_them_end_early_and_only_the_last_bytes_are_kept(
    service: Running,
) -> None:
    key = await a_test_key(service)
    large = [visit(id=f"e-{n}", data={"url": "/" + "x" * 900}) for n in range(6)]
    large += [visit(id=f"e-{n}", type="custom.x", data={"a": "x" * 8_000}) for n in range(6, 14)]
    await post(service, key, {"events": large})

    pages = [await shown(service, key, "all", limit=500)]
    while pages[-1]["next_cursor"]:
        cursor = pages[-1]["next_cursor"]
        pages.append(await shown(service, key, "all", limit=500, cursor=cursor))

    items = [one for page in pages for one in page["items"]]
    assert [one["id"] for one in items] == [f"e-{n}" for n in range(6, 14)]
    assert {len(one["event"]) for one in items} == {5_000}
    assert [len(page["items"]) for page in pages] == [2, 2, 2, 2]
    assert pages[0]["counts"] == {"good": 8, "bad": 0}


async def test_an_event_larger_than_all_that_is_kept_stays_as_the_last(database_url: str) -> None:
    settings = {"rehearsals_per_key_bytes_max": 10, "rehearsals_page_bytes_max": 10}
    async with running(build, database_url, settings=settings) as service:
        service.clock.set(wall_now())
        key = await a_test_key(service)
        await post(service, key, {"events": [visit(id="e-1"), visit(id="e-2")]})

        found = await shown(service, key, "all")

    assert [one["id"] for one in found["items"]] == ["e-2"]
    assert found["next_cursor"] is None


async def test_a_busy_test_key_leaves_connections_to_everybody_else(
    service: Running, database_url: str
) -> None:
    key, other = await a_test_key(service), await a_test_key(service)
    name = f"rehearsals {key['Authorization'].split('_')[1]}"
    blocker = await asyncpg.connect(database_url)
    try:
        async with blocker.transaction():
            await blocker.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", name)
            posts = [asyncio.create_task(post(service, key, visit())) for _ in range(12)]
            await eventually_waiting(blocker)

            async with asyncio.timeout(1):
                reply = await service.client.post("/v1/test/reset", headers=other)

            assert reply.status_code == 204
            assert await waiting(blocker) == 2
        replies = await asyncio.gather(*posts)
    finally:
        await blocker.close()
    assert {one.status_code for one in replies} == {202}


async def waiting(connection: Any) -> int:
    """How many of this database wait for a lock by name."""
    query = """SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
    WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"""
    return int(await connection.fetchval(query))


async def eventually_waiting(connection: Any) -> None:
    async with asyncio.timeout(1):
        while await waiting(connection) < 2:
            await asyncio.sleep(0.01)


async def test_a_key_that_is_none_for_tests_is_told_so(service: Running) -> None:
    for method, path in (("GET", "all"), ("POST", "reset")):
        reply = await service.client.request(
            method, f"/v1/test/{path}", headers=service.key("ingest")
        )
        assert reply.status_code == 409
    unknown = await service.client.get("/v1/test/some", headers=service.key("ingest"))
    assert unknown.status_code == 422


@pytest.mark.parametrize("scopes", [["admin"], ["read"], ["ingest", "read"]])
async def test_a_test_key_can_only_post(service: Running, scopes: list[str]) -> None:
    body = {"scopes": scopes, "label": "ci", "test": True}
    reply = await service.client.post("/v1/keys", json=body, headers=service.key("admin"))

    assert reply.status_code == 422
    assert "test key" in reply.json()["errors"][0]["message"]


async def test_whoever_does_not_know_of_test_keys_refuses_them(service: Running) -> None:
    key = (await a_test_key(service))["Authorization"].removeprefix("Bearer ")

    with pytest.raises(Problem) as refused:
        authorize(service.context, key, "ingest")
    assert refused.value.status == 403
    assert authorize(service.context, key, "ingest", test_too=True).test


async def test_a_test_key_stays_one_when_it_is_rotated_and_is_listed_as_one(
    service: Running,
) -> None:
    key = await a_test_key(service)
    key_id = key["Authorization"].split("_")[1]
    reply = await service.client.post(f"/v1/keys/{key_id}/rotate", headers=service.key("admin"))
    assert reply.json()["test"] is True
    await service.settle()
    ring = KeyRing()
    ring.apply(service.log.records("ingest.keys"))
    caller = ring.caller(reply.json()["key"], wall_now())
    assert caller is not None
    assert caller.test


async def test_what_was_posted_is_forgotten_after_its_retention(service: Running) -> None:
    key = await a_test_key(service)
    await post(service, key, visit(id="old"))
    service.clock.advance(timedelta(days=8))
    await post(service, key, visit(id="new"))

    await service.run_job("forget_rehearsals")

    assert [one["id"] for one in (await shown(service, key, "all"))["items"]] == ["new"]


async def test_a_fast_test_key_is_slowed_down_like_any_other(database_url: str) -> None:
    settings = {"key_events_per_second_max": 0.01, "key_burst_seconds": 100.0}
    async with running(build, database_url, settings=settings) as service:
        service.clock.set(wall_now())
        key = await a_test_key(service)
        await post(service, key, {"events": [visit() for _ in range(5)]})
        assert (await post(service, key, visit())).status_code == 429
