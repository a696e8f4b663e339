"""The HTTP edge of every service: callers, problems, pages, limits, health."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from fastapi import APIRouter

from shared.clock import wall_now
from shared.events.keys import KeyChanged, KeyChangedData
from shared.ids import CustomerId, EventId
from shared.runtime.http import (
    Body,
    CanAdmin,
    CanIngest,
    CanOperate,
    CanRead,
    Cursor,
    Limit,
    Page,
    Problem,
    decode_cursor,
    encode_cursor,
)
from shared.runtime.service import Service
from shared.testing.harness import Running, running
from tests.integration.runtime.counting import CountingSettings
from tests.integration.runtime.counting import build as build_counting

router = APIRouter(prefix="/v1")
# Not in the line that raises, which a log may quote: it is our own.
DETAILS = "secret details"


class Wish(Body):
    points: int


@router.get("/numbers")
async def numbers(_: CanRead, limit: Limit = 3, cursor: Cursor = None) -> Page[int]:
    first = decode_cursor(cursor, 1)[0] if cursor else 0
    last = min(first + limit, 7)
    return Page[int](
        items=list(range(first, last)), next_cursor=encode_cursor(last) if last < 7 else None
    )


@router.post("/wishes")
async def wish(wish: Wish, caller: CanOperate) -> dict[str, str | int]:
    return {"by": caller.key_id, "points": wish.points}


@router.get("/gone")
async def gone(_: CanRead) -> None:
    raise Problem(404, "no such thing", errors=[{"path": "id", "message": "unknown"}])


@router.get("/broken")
async def broken(_: CanRead) -> None:
    raise ZeroDivisionError(DETAILS)


@router.get("/away")
async def away(_: CanRead) -> None:
    raise ConnectionRefusedError


@router.delete("/keys")
async def administer(_: CanAdmin) -> None:
    return


@router.post("/door")
async def door(_: CanIngest) -> None:
    return


def build(settings: CountingSettings | None = None) -> Service:
    return replace(build_counting(settings), router=router)


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Running]:
    settings = {"request_body_bytes_max": 1_000, "request_body_seconds_max": 0.3}
    async with running(build, database_url, settings=settings, consume=False) as made:
        yield made


async def test_without_a_key_the_answer_is_401_and_says_how(service: Running) -> None:
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic eA=="}):
        reply = await service.client.get("/v1/numbers", headers=headers)
        assert reply.status_code == 401
        assert reply.headers["www-authenticate"] == "Bearer"
        assert reply.headers["content-type"] == "application/problem+json"


async def test_a_wrong_secret_of_a_known_key_is_401(service: Running) -> None:
    service.key("read")
    wrong = {"Authorization": "Bearer tn_read_" + "x" * 43}
    assert (await service.client.get("/v1/numbers", headers=wrong)).status_code == 401


@pytest.mark.parametrize(
    ("scope", "may"),
    [
        ("read", {"/v1/numbers"}),
        ("ingest", {"/v1/door"}),
        ("operate", {"/v1/numbers", "/v1/wishes"}),
        ("admin", {"/v1/numbers", "/v1/wishes", "/v1/door", "/v1/keys"}),
    ],
)
async def test_scopes_open_their_routes_and_no_others(
    service: Running, scope: str, may: set[str]
) -> None:
    calls = {
        "/v1/numbers": ("GET", None),
        "/v1/wishes": ("POST", {"points": 1}),
        "/v1/door": ("POST", None),
        "/v1/keys": ("DELETE", None),
    }
    opened = set()
    for path, (method, body) in calls.items():
        reply = await service.client.request(
            method,
            path,
            json=body,
            headers=service.key(scope),  # type: ignore[arg-type]
        )
        assert reply.status_code in {200, 403}, path
        if reply.status_code == 200:
            opened.add(path)
    assert opened == may


async def test_a_revoked_and_an_expired_key_are_dead(service: Running) -> None:
    headers = service.key("read")
    learned = service.context.keys._known["read"]
    past = wall_now() - timedelta(seconds=1)
    for dead in (replace(learned, revoked_at=past), replace(learned, expires_at=past)):
        service.context.keys._known["read"] = dead
        assert (await service.client.get("/v1/numbers", headers=headers)).status_code == 401
    service.context.keys._known["read"] = learned
    assert (await service.client.get("/v1/numbers", headers=headers)).status_code == 200


async def test_an_unreadable_announcement_of_a_key_changes_nothing(service: Running) -> None:
    headers = service.key("read")
    event = KeyChanged(
        id=EventId("k"),
        source="/ingest",
        subject=CustomerId("other"),
        time=wall_now(),
        recordedtime=wall_now(),
        data=KeyChangedData(key_id="other", secret_hash="00", scopes=("read",), label="x"),
    )
    await service.put(event)
    service.context.keys.apply(service.log.records("ingest.keys"))
    assert (await service.client.get("/v1/numbers", headers=headers)).status_code == 200


async def test_until_the_keys_are_read_requests_wait(service: Running) -> None:
    service.health.waits("keys", "being read")
    reply = await service.client.get("/v1/numbers", headers=service.key("read"))
    assert reply.status_code == 503
    assert int(reply.headers["retry-after"]) >= 1


async def test_a_list_is_walked_by_cursor_to_its_end(service: Running) -> None:
    found: list[int] = []
    cursor = ""
    while True:
        url = f"/v1/numbers?cursor={cursor}" if cursor else "/v1/numbers"
        page = (await service.client.get(url, headers=service.key("read"))).json()
        found += page["items"]
        if not (cursor := page.get("next_cursor") or ""):
            break
    assert found == list(range(7))


@pytest.mark.parametrize("cursor", ["x", "e30", "W10", "%00", "a" * 900])
async def test_a_foreign_cursor_is_a_422(service: Running, cursor: str) -> None:
    reply = await service.client.get(f"/v1/numbers?cursor={cursor}", headers=service.key("read"))
    assert reply.status_code == 422


async def test_invalid_and_unknown_fields_are_told_by_path(service: Running) -> None:
    reply = await service.client.post(
        "/v1/wishes", json={"points": "many", "is_admin": True}, headers=service.key("operate")
    )
    assert reply.status_code == 422
    assert {one["path"] for one in reply.json()["errors"]} == {"body.points", "body.is_admin"}
    assert "many" not in reply.text


async def test_a_body_above_the_limit_is_a_413(service: Running) -> None:
    reply = await service.client.post(
        "/v1/wishes", content=b"x" * 2_000, headers=service.key("operate")
    )
    assert reply.status_code == 413


async def test_a_body_that_drips_in_is_a_408(service: Running) -> None:
    async def dripping() -> AsyncIterator[bytes]:
        yield b'{"points":'
        await asyncio.sleep(5)
        yield b"1}"

    async with asyncio.timeout(3):
        reply = await service.client.post(
            "/v1/wishes", content=dripping(), headers=service.key("operate")
        )
    assert reply.status_code == 408


async def test_a_problem_keeps_its_status_and_errors(service: Running) -> None:
    reply = await service.client.get("/v1/gone", headers=service.key("read"))
    assert reply.status_code == 404
    assert reply.json()["errors"] == [{"path": "id", "message": "unknown"}]


async def test_our_own_errors_tell_nothing_of_the_inside(service: Running) -> None:
    reply = await service.client.get("/v1/broken", headers=service.key("read"))
    assert reply.status_code == 500
    assert "secret details" not in reply.text


async def test_an_error_that_was_answered_is_logged_once_and_quotes_nobody(
    database_url: str,
) -> None:
    """In a process of its own, because the log is a process's: the server below logs there too."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.runtime.failing", database_url,
        stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    out, log = (text.decode() for text in await process.communicate())
    assert out.split() == ["500", "503"], log
    lines = [json.loads(line) for line in log.splitlines()]
    (failed,) = [one for one in lines if "ZeroDivisionError" in json.dumps(one)]
    assert failed["event"] == "request failed"
    assert "test_http.py" in failed["exception"]
    assert "secret details" not in log


async def test_until_the_time_is_read_requests_wait(service: Running) -> None:
    service.health.waits("clock", "being read")
    reply = await service.client.get("/v1/numbers", headers=service.key("read"))
    assert reply.status_code == 503


async def test_what_is_away_is_a_503_with_retry_after(service: Running) -> None:
    reply = await service.client.get("/v1/away", headers=service.key("read"))
    assert reply.status_code == 503
    assert reply.headers["retry-after"]


async def test_a_path_that_is_not_there_is_a_problem(service: Running) -> None:
    reply = await service.client.get("/v1/nowhere")
    assert reply.status_code == 404
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.headers["x-content-type-options"] == "nosniff"


async def test_readiness_says_what_it_waits_for(service: Running) -> None:
    assert (await service.client.get("/readyz")).status_code == 200
    service.health.waits("kafka", "refused")
    reply = await service.client.get("/readyz")
    assert reply.status_code == 503
    assert reply.json()["reason"] == "waiting for kafka: refused"
    assert (await service.client.get("/healthz")).status_code == 200


async def test_metrics_count_requests_by_template(service: Running) -> None:
    await service.client.get("/v1/numbers", headers=service.key("read"))
    text = (await service.client.get("/metrics")).text
    assert 'tenure_http_requests_total{method="GET",route="/v1/numbers",status="200"}' in text
