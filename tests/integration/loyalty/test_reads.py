"""Lists, statements and the audit: what readers ask for, and what they cannot do to each other."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.loyalty.main import build
from shared.clock import EventClock
from shared.events.commerce import OrderCompleted
from shared.runtime.http import encode_cursor
from shared.testing.builders import NOON, event
from shared.testing.harness import Running, running

_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


async def ask(service: Running, path: str) -> httpx.Response:
    return await service.client.get(f"/v1{path}", headers=service.key("read"))


async def pages(service: Running, path: str, limit: int) -> list[dict[str, Any]]:
    found = [(await ask(service, f"{path}?limit={limit}")).json()]
    while (cursor := found[-1]["next_cursor"]) is not None:
        found.append((await ask(service, f"{path}?limit={limit}&cursor={cursor}")).json())
    return found


async def test_one_audit_runs_at_a_time_and_keeps_no_reader_waiting(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(event(OrderCompleted))
        async with service.context.transaction() as tx:
            await tx.driver.execute("LOCK TABLE refunds, lots")
            running_one = asyncio.create_task(ask(service, "/audit"))
            async with asyncio.timeout(10), service.context.read() as session:
                while not await session.driver.fetchval(_WAITING):
                    await asyncio.sleep(0.01)
            others = await asyncio.gather(*(ask(service, "/audit") for _ in range(20)))
            assert {reply.status_code for reply in others} == {503}
            assert all("Retry-After" in reply.headers for reply in others)
            assert (await ask(service, "/redemptions/none")).status_code == 404
        assert (await running_one).json()["ok"]
        assert (await ask(service, "/audit")).json()["ok"]


@pytest.mark.parametrize("path", ["/earning-rules", "/tiers"])
async def test_the_lists_of_the_program_have_pages(database_url: str, path: str) -> None:
    rules = [{"name": f"rule-{n}", "priority": n} for n in range(3)]
    async with running(build, database_url, settings={"earning_rules": rules}) as service:
        whole = (await ask(service, path)).json()
        assert whole["next_cursor"] is None
        parts = await pages(service, path, 2)
        assert [len(one["items"]) for one in parts] == [2, 1]
        assert [item for one in parts for item in one["items"]] == whole["items"]
        for position in (-1, "x", None, 1.5, True):
            refused = await ask(service, f"{path}?cursor={encode_cursor(position)}")
            assert refused.status_code == 422
        beyond = await ask(service, f"{path}?cursor={encode_cursor(10**400)}")
        assert beyond.json()["items"] == []
        assert (await ask(service, f"{path}?limit=0")).status_code == 422


async def test_a_statement_of_nobody_is_not_found_and_an_empty_one_is(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(event(OrderCompleted))
        assert (await ask(service, "/members/nobody/statement")).status_code == 404
        empty = await ask(service, "/members/c-1/statement?to=2020-01-01T00:00:00Z")
        assert (empty.status_code, empty.json()["items"]) == (200, [])
        past = encode_cursor((NOON + timedelta(days=1)).isoformat(), "c-1", 1)
        after = (await ask(service, f"/members/c-1/statement?cursor={past}")).json()
        assert (after["opening_balance"], after["closing_balance"]) == (10, 10)


async def test_pages_of_a_statement_do_not_move_when_lines_are_added(database_url: str) -> None:
    async with running(build, database_url, clock=EventClock()) as service:
        for n in range(6):
            at = NOON + timedelta(days=n)
            await service.feed(event(OrderCompleted, order_id=f"o-{n}", at=at))
        first = (await ask(service, "/members/c-1/statement?limit=3")).json()
        # A late order is booked now, whenever it happened, so its line comes last.
        await service.feed(event(OrderCompleted, order_id="late", at=NOON - timedelta(days=9)))
        second = await ask(service, f"/members/c-1/statement?limit=9&cursor={first['next_cursor']}")
        orders = [line["order_id"] for page in (first, second.json()) for line in page["items"]]
        assert orders == ["o-0", "o-1", "o-2", "o-3", "o-4", "o-5", "late"]
        assert second.json()["opening_balance"] == first["closing_balance"]
