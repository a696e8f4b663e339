"""What the door refused: kept, listed, filtered, forgotten."""

from datetime import timedelta
from typing import Any

import pytest

from services.ingest.main import build
from shared.clock import ManualClock
from shared.events.keys import Scope
from shared.testing.builders import NOON
from shared.testing.harness import Running, running
from tests.integration.ingest.posting import order, post, visit


@pytest.fixture
async def service(database_url: str) -> Any:
    settings = {"rejections_retention_days": 7, "rejections_forget_rows_max": 2}
    async with running(build, database_url, clock=ManualClock(NOON), settings=settings) as started:
        yield started


async def refuse(service: Running, *events: Any) -> None:
    await post(service, {"events": list(events)})
    await service.settle()


async def listed(service: Running, scope: Scope = "operate", **query: Any) -> Any:
    reply = await service.client.get("/v1/rejections", params=query, headers=service.key(scope))
    assert reply.status_code == 200, reply.text
    return reply.json()


async def test_a_refused_event_is_listed_with_its_reason_and_what_was_sent(
    service: Running,
) -> None:
    bad = order(id="e-1", customer_id="null")

    await refuse(service, visit(), bad)

    (one,) = (await listed(service))["items"]
    assert (one["index"], one["event_id"], one["event_type"]) == (1, "e-1", "order.completed")
    assert one["reason"] == "illegal_id"
    assert one["errors"][0]["path"] == "events.1.customer_id"
    assert one["body"] == bad
    assert one["source"] == "/sources/ingest"
    assert one["rejected_at"] == "2026-03-02T12:00:00Z"


async def test_what_was_sent_is_shown_only_to_who_may_operate(service: Running) -> None:
    mary = {"email": "mary@example.org", "phone": 5}
    await refuse(service, {"type": "customer.updated", "customer_id": "c-1", "data": mary})

    told = await listed(service, "read")
    (one,) = told["items"]
    assert one["body"] is None
    assert (one["reason"], one["event_type"]) == ("invalid_value", "customer.updated")
    assert [error["path"] for error in one["errors"]] == ["events.0.data.phone"]
    assert "mary@" not in str(told)
    for scope in ("operate", "admin"):
        (one,) = (await listed(service, scope))["items"]
        assert one["body"]["data"] == mary


async def test_what_was_refused_for_its_text_is_shown_as_text(service: Running) -> None:
    body = rb'{"type":"custom.x","customer_id":"c","data":{"\ud800":NaN}}'
    await post(service, body)
    await service.settle()

    (one,) = (await listed(service))["items"]
    assert one["reason"] == "invalid_text"
    assert "NaN" in one["body"]


async def test_rejections_are_filtered_by_reason_and_paged_newest_first(
    service: Running,
) -> None:
    for serial in range(5):
        await refuse(service, visit(customer_id="null", id=f"e-{serial}"), {"type": "x"})
        service.clock.advance(timedelta(minutes=1))

    found: list[str] = []
    cursor = None
    while True:
        query: dict[str, Any] = {"reason": "illegal_id", "limit": 2}
        query |= {"cursor": cursor} if cursor else {}
        page = await listed(service, **query)
        found += [one["event_id"] for one in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == ["e-4", "e-3", "e-2", "e-1", "e-0"]


@pytest.mark.parametrize("query", [{"reason": "nonsense"}, {"cursor": "nonsense"}])
async def test_a_foreign_reason_or_cursor_is_refused(
    service: Running, query: dict[str, str]
) -> None:
    reply = await service.client.get("/v1/rejections", params=query, headers=service.key("read"))

    assert reply.status_code == 422


async def test_rejections_are_forgotten_after_the_retention(service: Running) -> None:
    await refuse(service, *[{"type": "x"}] * 5)
    service.clock.advance(timedelta(days=6))
    await refuse(service, {"type": "y"})
    service.clock.advance(timedelta(days=2))

    await service.run_job("forget_rejections")

    assert [one["event_type"] for one in (await listed(service))["items"]] == ["y"]
