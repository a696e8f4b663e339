"""The tracking plan: versions, what it refuses and counts, and a draft from what was seen."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from services.ingest.main import build
from shared.clock import ManualClock
from shared.events.engagement import CustomEvent
from shared.events.topics import RECEIVED
from shared.testing.builders import NOON
from shared.testing.harness import Running, running
from tests.fixtures.backing import run_sql
from tests.integration.ingest.posting import order, post, tell, visit

JSON = {"Content-Type": "application/json"}
SETTINGS = {
    "plan_refresh_seconds": 0.05,
    "plan_bytes_max": 5_000,
    "plan_examples_max": 2,
    "plan_violations_rows_max": 3,
}
PAPER = {
    "type": "object",
    "properties": {"paper": {"enum": ["red", "gold"]}},
    "required": ["paper"],
}


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Running]:
    async with running(build, database_url, clock=ManualClock(NOON), settings=SETTINGS) as started:
        yield started


def wrapped(**given: Any) -> dict[str, Any]:
    data = given.pop("data", {"paper": "red"})
    return {"type": "custom.wrapped", "customer_id": "c-1", "data": data, **given}


def planned(mode: str = "reject", schema: Any = PAPER, **given: Any) -> dict[str, Any]:
    return {"types": {"custom.wrapped": {"mode": mode, "schema": schema}}, **given}


async def ask(
    service: Running, method: str, path: str = "", scope: Any = "admin", **given: Any
) -> Any:
    return await service.client.request(
        method, f"/v1/tracking-plan{path}", headers=JSON | service.key(scope), **given
    )


async def put(service: Running, document: Any, **given: Any) -> Any:
    return await ask(service, "PUT", json={"plan": document, **given})


async def violations(service: Running, **query: Any) -> Any:
    return (await ask(service, "GET", "/violations", "read", params=query)).json()["items"]


async def eventually(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0.01)


async def test_versions_are_kept_and_an_older_one_can_be_activated(service: Running) -> None:
    assert (await ask(service, "GET", scope="read")).status_code == 404
    first = (await put(service, planned(), note="first")).json()
    second = (await put(service, planned("warn"))).json()

    assert (first["version"], first["active"], first["note"]) == (1, True, "first")
    assert (await ask(service, "GET", scope="read")).json() == second
    older = (await ask(service, "GET", "/versions/1", "read")).json()
    assert older == first | {"active": False}
    again = (await ask(service, "POST", "/versions/1/activate")).json()
    assert again == first
    assert (await ask(service, "GET", scope="read")).json() == first
    page = (await ask(service, "GET", "/versions", "read", params={"limit": 1})).json()
    rest = (await ask(service, "GET", "/versions", params={"cursor": page["next_cursor"]})).json()
    listed = [(one["version"], one["active"]) for one in page["items"] + rest["items"]]
    assert listed == [(2, False), (1, True)]
    for method, path in (("GET", "/versions/3"), ("POST", "/versions/3/activate")):
        assert (await ask(service, method, path)).status_code == 404


async def test_only_administrators_change_the_plan(service: Running) -> None:
    for scope in ("ingest", "read", "operate"):
        assert (await ask(service, "PUT", scope=scope, json={})).status_code == 403
        assert (await ask(service, "POST", "/versions/1/activate", scope)).status_code == 403


async def test_of_two_who_change_the_same_version_one_is_told(service: Running) -> None:
    answers = await asyncio.gather(
        *(put(service, planned(), base_version=0) for _ in range(4)),
    )

    assert sorted(one.status_code for one in answers) == [200, 409, 409, 409]
    assert (await put(service, planned(), base_version=1)).json()["version"] == 2


@pytest.mark.parametrize(
    ("document", "status", "path"),
    [
        (
            planned(schema={"$ref": "http://127.0.0.1:1/x"}),
            422,
            "plan.types.custom.wrapped.schema.$ref",
        ),
        (planned(schema={"pattern": "(a)\\1"}), 422, "plan.types.custom.wrapped.schema.pattern"),
        (planned(schema={"const": "\ud800"}), 422, "plan.types.custom.wrapped.schema.const"),
        (planned(schema={"const": "\x00"}), 422, "plan.types.custom.wrapped.schema.const"),
        (planned(schema={"description": "x" * 5_000}), 413, None),
        ({"types": {"order.complete": {}}}, 422, "plan.types.order.complete"),
        ([], 422, "body.plan"),
    ],
)
async def test_a_hostile_plan_is_refused_and_the_old_one_stays(
    service: Running, document: Any, status: int, path: str | None
) -> None:
    await put(service, planned())

    reply = await ask(service, "PUT", content=json.dumps({"plan": document}).encode())

    assert reply.status_code == status, reply.text
    assert [error["path"] for error in reply.json().get("errors", [])] == ([path] if path else [])
    assert (await ask(service, "GET")).json()["version"] == 1


async def test_a_plan_nested_without_end_is_the_callers_mistake(service: Running) -> None:
    for depth in (200, 50_000):
        nested = b'{"not":' * depth + b"{}" + b"}" * depth
        body = b'{"plan":{"types":{"custom.x":{"mode":"warn","schema":' + nested + b"}}}}"
        reply = await ask(service, "PUT", content=body)
        assert reply.status_code in {400, 422}, reply.text


async def test_what_breaks_the_plan_is_refused_with_its_path_listed_and_counted(
    service: Running,
) -> None:
    await put(service, planned())

    reply = await post(service, {"events": [wrapped(id="e-1", data={"paper": "blue"}), visit()]})

    assert reply.status_code == 202
    (error,) = reply.json()["rejected"][0]["errors"]
    assert (error["path"], error["rule"], error["field"]) == (
        "events.0.data.paper",
        "enum",
        "data.paper",
    )
    await service.settle()
    query = {"reason": "plan_violation"}
    listed = await service.client.get("/v1/rejections", params=query, headers=service.key("read"))
    (rejection,) = listed.json()["items"]
    (counted,) = await violations(service)
    assert (counted["type"], counted["field"], counted["rule"]) == (
        "custom.wrapped",
        "data.paper",
        "enum",
    )
    assert (counted["warned"], counted["rejected"]) == (0, 1)
    assert (counted["event_ids"], counted["rejection_ids"]) == (["e-1"], [rejection["id"]])


async def test_a_rehearsal_and_a_replay_go_by_the_plan(service: Running) -> None:
    await put(service, planned())
    headers = JSON | service.key("ingest")
    bad = json.dumps(wrapped(data={})).encode()
    rehearsed = await service.client.post(
        "/v1/events", params={"dry_run": "true"}, content=bad, headers=headers
    )
    assert rehearsed.json()["errors"][0]["path"] == "data.paper"
    await service.settle()
    assert not service.log.records(RECEIVED.name)
    await post(service, bad)
    await service.settle()

    body = {"reason": "plan_violation"}
    url, key = "/v1/rejections/replay", service.key("operate")
    before = (await service.client.post(url, json=body, headers=key)).json()
    await put(service, planned("allow"))
    after = (await service.client.post(url, json=body, headers=key)).json()

    assert (before["counts"], after["counts"]) == ({"refused": 1}, {"replayed": 1})
    await service.settle()
    assert len(service.published(CustomEvent)) == 1


async def test_mode_warn_admits_and_counts_each_event_once(service: Running) -> None:
    await put(service, planned("warn", unplanned="warn"))

    for number in (1, 2, 3, 3):
        await tell(service, wrapped(id=f"e-{number}", data={"paper": number}))
    await tell(service, order(id="o"), wrapped())

    assert len(service.published(CustomEvent)) == 4
    known, unplanned = await violations(service)
    assert (known["rule"], known["warned"], known["rejected"]) == ("enum", 3, 0)
    assert known["event_ids"] == ["e-3", "e-2"]
    assert (unplanned["type"], unplanned["rule"], unplanned["warned"]) == (
        "order.completed",
        "unplanned",
        1,
    )


async def test_kinds_of_violations_are_bounded_and_known_ones_count_on(service: Running) -> None:
    await put(service, {"types": {}, "unplanned": "warn"})

    for number in [*range(5), 0]:
        await tell(service, visit(type=f"custom.t{number}", data={}))

    counted = {one["type"]: one["warned"] for one in await violations(service)}
    assert counted == {"custom.t0": 2, "custom.t1": 1, "custom.t2": 1}
    first = await ask(service, "GET", "/violations", params={"limit": 2})
    rest = await violations(service, cursor=first.json()["next_cursor"])
    assert [one["type"] for one in first.json()["items"] + rest] == list(counted)
    assert len(await violations(service, type="custom.t1")) == 1


async def test_another_replica_applies_a_new_plan_by_itself(
    service: Running, database_url: str
) -> None:
    given: dict[str, Any] = {"settings": SETTINGS, "log": service.log, "replica": "1"}
    async with running(build, database_url, consume=False, **given) as other:
        assert (await post(other, wrapped(data={}))).status_code == 202
        await put(service, planned())

        async def refuses() -> Any:
            return (await post(other, wrapped(data={}))).status_code == 422

        await eventually(refuses)
    async with running(build, database_url, consume=False, **given) as restarted:
        assert (await post(restarted, wrapped(data={}))).status_code == 422


async def test_a_door_that_cannot_read_the_plan_takes_events_and_applies_it_when_it_can(
    database_url: str,
) -> None:
    async with running(build, database_url, settings=SETTINGS, consume=False) as first:
        await put(first, planned())
    run_sql(database_url, "ALTER TABLE ingest.tracking_plans RENAME TO away")

    async with running(build, database_url, settings=SETTINGS, consume=False) as door:
        assert (await post(door, wrapped(data={}))).status_code == 202
        run_sql(database_url, "ALTER TABLE ingest.away RENAME TO tracking_plans")

        async def refuses() -> Any:
            return (await post(door, wrapped(data={}))).status_code == 422

        await eventually(refuses)


async def test_a_draft_follows_from_what_was_seen_and_can_be_put(service: Running) -> None:
    events = [wrapped(data={"paper": "red", "count": n}) for n in range(25)]
    for event in [*events, order(), wrapped(data={"paper": "mary@example.org"})]:
        await tell(service, event)

    async def observed() -> Any:
        drafted = (await ask(service, "GET", "/draft", "read")).json()
        return sum(one["events"] for one in drafted["observed"]) == 27

    await eventually(observed)
    drafted = (
        await ask(service, "GET", "/draft", "read", params={"type": "custom.wrapped"})
    ).json()
    assert drafted["observed"] == [{"type": "custom.wrapped", "events": 26}]
    assert drafted["plan"]["types"]["custom.wrapped"] == {
        "mode": "warn",
        "schema": {
            "type": "object",
            "properties": {"count": {"type": "integer"}, "paper": {"type": "string"}},
            "required": ["paper"],
        },
    }
    whole = (await ask(service, "GET", "/draft", "read")).json()["plan"]
    assert set(whole["types"]) == {"custom.wrapped", "order.completed"}
    assert "mary" not in json.dumps(whole)
    assert (await put(service, whole)).status_code == 200


async def test_what_was_not_seen_for_long_is_forgotten(service: Running) -> None:
    await put(service, planned("warn"))
    await tell(service, wrapped(data={}))
    service.clock.advance(timedelta(days=29))
    await service.run_job("forget_plan_counts")
    assert await violations(service)

    service.clock.advance(timedelta(days=2))
    await service.run_job("forget_plan_counts")

    assert not await violations(service)
