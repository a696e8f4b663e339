"""Refused events: corrected, judged again, and replayed so that each counts once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from services.ingest.main import build
from shared.clock import ManualClock
from shared.events.commerce import OrderCompleted
from shared.events.engagement import PageViewed
from shared.events.topics import RECEIVED
from shared.testing.builders import NOON
from shared.testing.harness import Running, running
from tests.integration.ingest.posting import order, post, visit

SETTINGS = {"replay_events_max": 4, "replay_lease_seconds": 30.0, "rejected_body_chars_max": 5_000}


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Running]:
    async with running(build, database_url, clock=ManualClock(NOON), settings=SETTINGS) as started:
        yield started


async def ask(
    service: Running, method: str, path: str = "", scope: Any = "operate", **given: Any
) -> Any:
    return await service.client.request(
        method, f"/v1/rejections{path}", headers=service.key(scope), **given
    )


async def refuse(service: Running, *events: Any) -> list[str]:
    """Posts events that are refused; their rejections' ids, in the order of the request."""
    reply = await post(service, {"events": list(events)})
    assert len(reply.json()["rejected"]) == len(events)
    await service.settle()
    items = (await ask(service, "GET")).json()["items"][: len(events)]
    return [one["id"] for one in sorted(items, key=lambda one: one["index"])]


async def mend(service: Running, rejection_id: str, event: Any) -> Any:
    return await ask(service, "PUT", f"/{rejection_id}", json=event)


async def replay(service: Running, **wanted: Any) -> Any:
    reply = await ask(service, "POST", "/replay", json=wanted)
    assert reply.status_code == 200, reply.text
    await service.settle()
    return reply.json()


def outcomes(answer: Any) -> list[str]:
    return [one["outcome"] for one in answer["items"]]


async def test_a_corrected_event_is_published_under_its_own_id_source_and_time(
    service: Running,
) -> None:
    (one,) = await refuse(service, order(id="e-1", customer_id="null"))
    service.clock.advance(timedelta(hours=5))

    told = (await mend(service, one, order(id="e-1"))).json()
    assert (told["acceptable"], told["status"], told["corrected"]) == (
        True,
        "open",
        order(id="e-1"),
    )
    assert told["body"] == order(id="e-1", customer_id="null")
    assert not service.published(OrderCompleted)
    answer = await replay(service, ids=[one])

    assert answer["items"] == [{"id": one, "outcome": "replayed", "event_id": "e-1", "errors": []}]
    (published,) = service.published(OrderCompleted)
    assert (published.id, published.source) == ("e-1", "/sources/ingest")
    assert published.time == NOON
    assert published.recordedtime == NOON + timedelta(hours=5)
    shown = (await ask(service, "GET", f"/{one}")).json()
    assert (shown["status"], shown["replay_id"]) == ("replayed", "e-1")
    assert shown["replayed_at"] == "2026-03-02T17:00:00Z"


async def test_what_is_still_wrong_is_told_and_not_published(service: Running) -> None:
    (one,) = await refuse(service, visit(id="e-1", customer_id="null"))

    told = (await mend(service, one, visit(customer_id="c-1", data={"colour": 1}))).json()
    assert told["acceptable"] is False
    assert [error["path"] for error in told["errors_now"]] == ["data.colour"]
    answer = await replay(service, ids=[one])
    single = await ask(service, "POST", f"/{one}/replay")

    assert outcomes(answer) == ["refused"]
    assert single.status_code == 422
    assert single.json()["errors"] == answer["items"][0]["errors"]
    assert not service.published(PageViewed)
    assert (await ask(service, "GET", f"/{one}")).json()["status"] == "open"


async def test_what_was_refused_for_lying_in_the_future_passes_when_its_time_has_come(
    service: Running,
) -> None:
    (one,) = await refuse(service, visit(occurred_at="2026-03-02T15:00:00Z"))
    dry = await ask(service, "POST", f"/{one}/replay", params={"dry_run": "true"})
    assert dry.status_code == 422

    service.clock.advance(timedelta(hours=3))

    dry = await ask(service, "POST", f"/{one}/replay", params={"dry_run": "true"})
    assert dry.json()["outcome"] == "acceptable"
    assert not service.published(PageViewed)
    done = await ask(service, "POST", f"/{one}/replay")
    assert done.json() == dry.json() | {"outcome": "replayed"}


async def test_replaying_again_does_nothing_and_a_correction_then_is_refused(
    service: Running,
) -> None:
    (one,) = await refuse(service, visit(customer_id="null"))
    await mend(service, one, visit())
    first = await replay(service, ids=[one])

    again = await replay(service, ids=[one, one])

    assert outcomes(again) == ["already_replayed"]
    assert again["items"][0]["event_id"] == first["items"][0]["event_id"]
    assert (await mend(service, one, visit())).status_code == 409
    assert len(service.published(PageViewed)) == 1


async def test_the_id_that_a_client_sent_stays(service: Running) -> None:
    (one,) = await refuse(service, visit(id="e-1", customer_id="null"))

    told = (await mend(service, one, visit(id="e-2"))).json()

    assert [error["path"] for error in told["errors_now"]] == ["id"]
    assert outcomes(await replay(service, ids=[one])) == ["refused"]
    await mend(service, one, visit())
    assert (await replay(service, ids=[one]))["items"][0]["event_id"] == "e-1"


async def test_an_event_that_came_twice_or_was_sent_rightly_since_is_not_published_again(
    service: Running,
) -> None:
    twice = visit(id="e-1", customer_id="null")
    ones = await refuse(service, twice, twice, visit(id="e-2", customer_id="null"))
    for one in ones:
        await mend(service, one, visit())
    await post(service, visit(id="e-2"))
    await service.settle()

    answer = await replay(service, ids=ones)

    assert outcomes(answer) == ["replayed", "duplicate", "duplicate"]
    assert sorted(one.id for one in service.published(PageViewed)) == ["e-1", "e-2"]
    assert not service.dead()
    assert outcomes(await replay(service, ids=ones)) == ["already_replayed"] * 3


async def test_many_replays_at_once_publish_each_event_once(
    service: Running, database_url: str
) -> None:
    ones = await refuse(service, *[visit(id=f"e-{n}", customer_id="null") for n in range(4)])
    for one in ones:
        await mend(service, one, visit())
    async with AsyncExitStack() as stack:
        others = [
            await stack.enter_async_context(
                running(
                    build,
                    database_url,
                    clock=ManualClock(NOON),
                    settings=SETTINGS,
                    log=service.log,
                    replica=str(number),
                    consume=False,
                )
            )
            for number in (1, 2)
        ]
        service.failpoints.arm("effect.before_call", "sleep", 0.05)
        wanted = {"json": {"ids": ones}}
        answers = await asyncio.gather(
            *(ask(one, "POST", "/replay", **wanted) for one in (service, *others) for _ in range(3))
        )
    await service.settle()

    told = [outcome for one in answers for outcome in outcomes(one.json())]
    assert told.count("replayed") == 4
    assert set(told) <= {"replayed", "in_progress", "already_replayed"}
    values = [one.value or b"" for one in service.log.records(RECEIVED.name)]
    assert sum(one.count(b"\n") for one in values if b'"accepted"' in one) == 4
    assert sorted(one.id for one in service.published(PageViewed)) == [f"e-{n}" for n in range(4)]


async def test_a_crash_between_publishing_and_marking_counts_the_event_once(
    service: Running,
) -> None:
    (one,) = await refuse(service, visit(customer_id="null"))
    await mend(service, one, visit())
    service.failpoints.arm("effect.after_call", "error")
    assert (await ask(service, "POST", f"/{one}/replay")).status_code == 503
    service.failpoints.disarm("effect.after_call")

    shown = (await ask(service, "GET", f"/{one}")).json()
    assert shown["status"] == "open"
    assert (await ask(service, "POST", f"/{one}/replay")).status_code == 409
    assert (await mend(service, one, visit(data={"url": "/other"}))).status_code == 409
    await service.settle()
    service.clock.advance(timedelta(seconds=31))
    answer = await replay(service, ids=[one])

    assert outcomes(answer) == ["duplicate"]
    (published,) = service.published(PageViewed)
    assert published.id == shown["replay_id"] == answer["items"][0]["event_id"]
    assert (await ask(service, "GET", f"/{one}")).json()["status"] == "replayed"


async def test_a_second_publishing_before_the_first_was_admitted_is_no_second_event(
    database_url: str,
) -> None:
    given: dict[str, Any] = {"clock": ManualClock(NOON), "settings": SETTINGS}
    async with running(build, database_url, **given) as service:
        (one,) = await refuse(service, visit(customer_id="null"))
        await mend(service, one, visit())
        log = service.log
    async with running(build, database_url, log=log, consume=False, **given) as door:
        door.failpoints.arm("effect.after_call", "error")
        assert (await ask(door, "POST", f"/{one}/replay")).status_code == 503
        door.failpoints.disarm("effect.after_call")
        door.clock.advance(timedelta(seconds=31))
        assert (await ask(door, "POST", f"/{one}/replay")).json()["outcome"] == "replayed"
    async with running(build, database_url, log=log, **given) as service:
        await service.settle()

        assert len(service.published(PageViewed)) == 1
        assert not service.dead()


async def test_an_absent_broker_is_told_and_nothing_is_marked(service: Running) -> None:
    (one,) = await refuse(service, visit(customer_id="null"))
    await mend(service, one, visit())
    service.log.available = False

    reply = await ask(service, "POST", "/replay", json={"ids": [one]})

    assert reply.status_code == 503
    assert int(reply.headers["Retry-After"]) >= 1
    assert (await ask(service, "GET", f"/{one}")).json()["status"] == "open"
    service.log.available = True
    assert outcomes(await replay(service, ids=[one])) == ["replayed"]


async def test_a_reason_is_replayed_part_by_part_oldest_first(service: Running) -> None:
    for number in range(5):
        when = (NOON + timedelta(hours=2 + number)).isoformat()
        await refuse(service, visit(id=f"e-{number}", occurred_at=when))
        service.clock.advance(timedelta(minutes=1))
    await refuse(service, {"type": "x"})
    service.clock.set(NOON + timedelta(hours=5))

    first = await replay(service, reason="future_time", limit=3)
    rest = await replay(service, reason="future_time", limit=3, cursor=first["next_cursor"])

    assert [one["event_id"] for one in first["items"]] == ["e-0", "e-1", "e-2"]
    assert first["counts"] == {"replayed": 3}
    assert (rest["counts"], rest.get("next_cursor")) == ({"replayed": 2}, None)
    assert len(service.published(PageViewed)) == 5
    counts = (await ask(service, "GET", "/counts", "read")).json()["items"]
    assert counts == [
        {"reason": "future_time", "open": 0, "replayed": 5},
        {"reason": "unknown_type", "open": 1, "replayed": 0},
    ]


async def test_the_list_is_filtered_by_source_time_and_state(service: Running) -> None:
    early = await refuse(service, visit(customer_id="null"))
    service.clock.advance(timedelta(hours=1))
    late = await refuse(service, visit(customer_id="null"))
    await mend(service, early[0], visit())
    await replay(service, ids=early)

    async def found(**query: str) -> list[str]:
        reply = await ask(service, "GET", params=query)
        return [one["id"] for one in reply.json()["items"]]

    assert await found() == late + early
    assert await found(**{"from": "2026-03-02T12:30:00Z"}) == late
    assert await found(to="2026-03-02T12:30:00Z") == early
    assert await found(source="/sources/other") == []
    assert await found(source="/sources/ingest", status="replayed") == early
    assert await found(status="open") == late


async def test_bodies_and_corrections_are_hidden_from_who_may_only_read(service: Running) -> None:
    mary = {"type": "customer.updated", "customer_id": "null", "data": {"email": "m@example.org"}}
    (one,) = await refuse(service, mary)
    await mend(service, one, mary | {"customer_id": "c-1"})

    told = (await ask(service, "GET", f"/{one}", "read")).json()

    assert (told["body"], told["corrected"], told["corrected_at"] is None) == (None, None, False)
    for method, path in (("PUT", f"/{one}"), ("POST", f"/{one}/replay"), ("POST", "/replay")):
        for scope in ("read", "ingest"):
            assert (await ask(service, method, path, scope, json={})).status_code == 403


async def test_what_was_kept_only_in_part_must_be_corrected_first(service: Running) -> None:
    (one,) = await refuse(service, visit(id="e-1", data={"url": "/", "colour": "x" * 6_000}))

    assert outcomes(await replay(service, ids=[one])) == ["refused"]
    await mend(service, one, visit())
    assert outcomes(await replay(service, ids=[one])) == ["replayed"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"\xff", 400),
        (b'{"a":' * 30_000, 400),
        (b"[]", 422),
        (b'{"events": []}', 422),
        (b'{"a": "' + b"x" * 300_000 + b'"}', 413),
        (b'{"type": "custom.x", "data": {"a": "\\u0000"}}', 200),
        (b'{"type": "custom.x", "data": {"a": "\\ud800", "b": NaN}}', 200),
    ],
)
async def test_a_hostile_correction_is_refused_or_told_as_unacceptable(
    service: Running, body: bytes, status: int
) -> None:
    (one,) = await refuse(service, visit(customer_id="null"))

    reply = await ask(service, "PUT", f"/{one}", content=body)

    assert reply.status_code == status, reply.text
    if status == 200:
        assert reply.json()["acceptable"] is False
    assert outcomes(await replay(service, ids=[one])) == ["refused"]


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"ids": []},
        {"ids": ["\x00"]},
        {"ids": ["a"], "reason": "too_deep"},
        {"ids": ["a"], "source": "x"},
        {"ids": ["a", "b", "c", "d", "e"]},
        {"reason": "nonsense"},
        {"reason": "too_deep", "limit": 5},
        {"reason": "too_deep", "limit": 1, "cursor": "x"},
    ],
)
async def test_a_request_that_does_not_say_what_to_replay_is_refused(
    service: Running, wanted: dict[str, Any]
) -> None:
    assert (await ask(service, "POST", "/replay", json=wanted)).status_code == 422


async def test_a_missing_rejection_is_told(service: Running) -> None:
    assert outcomes(await replay(service, ids=["none"])) == ["missing"]
    for method, path in (("GET", "/none"), ("PUT", "/none"), ("POST", "/none/replay")):
        assert (await ask(service, method, path, json={})).status_code == 404
