"""A customer's history, page by page."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.insights.main import build
from shared.events.commerce import OrderCompleted
from shared.events.engagement import CustomerMerged, CustomerUnmerged, PageViewed
from shared.testing.builders import NOON, event
from shared.testing.harness import Running, running
from tests.integration.insights.history import day, everything


async def ask(service: Running, customer: str, **query: Any) -> httpx.Response:
    return await service.client.get(
        f"/v1/customers/{customer}/timeline", params=query, headers=service.key("read")
    )


async def walk(service: Running, customer: str, **query: Any) -> list[dict[str, Any]]:
    """All entries, by following the cursor."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        reply = (await ask(service, customer, **query, **cursor)).json()
        found += reply["items"]
        if reply["next_cursor"] is None:
            return found
        cursor = {"cursor": reply["next_cursor"]}


async def test_a_chain_can_be_followed_by_its_causes(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(*everything())
        entries = {entry["event_id"]: entry for entry in await walk(service, "c-2")}
    sent = entries["i2"]
    assert sent["title"] == "Sent: email of journey win-back"
    planned = entries[sent["cause"]]
    crossed = entries[planned["cause"]]
    assert crossed["title"] == "churn went up through 0.7: now 0.8"
    refund = entries[crossed["cause"]]
    assert (refund["kind"], refund["title"]) == (
        "order.refunded",
        "20.25 GBP of order B1 refunded",
    )


async def test_every_entry_is_met_once_newest_first_at_any_page_size(database_url: str) -> None:
    async with running(build, database_url) as service:
        # Pairs of the same instant, and of the same instant recorded at the same moment.
        await service.feed(
            *(event(PageViewed, at=NOON + timedelta(seconds=n // 2)) for n in range(23))
        )
        whole = await walk(service, "c-1", limit=500)
        assert len({entry["event_id"] for entry in whole}) == 23
        assert [entry["at"] for entry in whole] == sorted(
            (entry["at"] for entry in whole), reverse=True
        )
        for limit in (1, 2, 5, 23):
            assert await walk(service, "c-1", limit=limit) == whole


async def test_what_comes_while_walking_shifts_nothing(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(*(event(PageViewed, at=NOON + timedelta(hours=n)) for n in range(4)))
        first = (await ask(service, "c-1", limit=2)).json()
        await service.feed(event(OrderCompleted, at=NOON + timedelta(hours=9)))
        second = (await ask(service, "c-1", limit=2, cursor=first["next_cursor"])).json()
    times = [entry["at"][11:13] for entry in [*first["items"], *second["items"]]]
    assert times == ["15", "14", "13", "12"]
    assert second["next_cursor"] is None


async def test_kinds_choose_what_is_shown(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(*everything())
        found = await walk(service, "c-1", kind=["points.awarded", "tier.changed"], limit=1)
    assert [entry["event_id"] for entry in found] == ["p2", "p1", "g2", "g1"]


async def test_merged_ids_are_one_person_until_they_are_told_apart(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(
            event(OrderCompleted, customer="a-1", at=day(3, 1), order_id="as-guest"),
            event(OrderCompleted, customer="c-1", at=day(3, 2), order_id="signed-in"),
            event(CustomerMerged, customer="a-1", at=day(3, 2, 10), survivor_id="b-1"),
            event(CustomerMerged, customer="b-1", at=day(3, 2, 11), survivor_id="c-1"),
            event(OrderCompleted, customer="c-1", alias="a-1", at=day(3, 2, 12), order_id="after"),
        )
        for asked in ("a-1", "b-1", "c-1"):
            reply = (await ask(service, asked, kind="order.completed")).json()
            assert (reply["customer_id"], reply["aliases"]) == ("c-1", ["a-1", "b-1"])
            assert _orders(reply) == ["after", "signed-in", "as-guest"]

        await service.feed(
            event(CustomerUnmerged, customer="a-1", at=day(3, 2, 13), survivor_id="b-1")
        )
        apart = (await ask(service, "a-1", kind="order.completed")).json()
        assert (apart["customer_id"], _orders(apart)) == ("a-1", ["after", "as-guest"])
        rest = (await ask(service, "c-1", kind="order.completed")).json()
        assert _orders(rest) == ["signed-in"]


def _orders(reply: dict[str, Any]) -> list[str]:
    return [entry["details"]["order_id"] for entry in reply["items"]]


async def test_an_unknown_customer_is_not_found(database_url: str) -> None:
    async with running(build, database_url, consume=False) as service:
        reply = await ask(service, "nobody")
    assert (reply.status_code, reply.json()["detail"]) == (404, "no such customer")


@pytest.mark.parametrize("cursor", ["x", "WzEsMiwzLDRd", "WyJhIl0"])
async def test_a_foreign_cursor_is_refused(database_url: str, cursor: str) -> None:
    async with running(build, database_url, consume=False) as service:
        reply = await ask(service, "c-1", cursor=cursor)
    assert reply.status_code == 422


async def test_the_sweep_forgets_entries_but_not_sums(database_url: str) -> None:
    async with running(build, database_url, settings={"timeline_retention_days": 10}) as service:
        await service.feed(
            event(OrderCompleted, at=NOON - timedelta(days=11), order_id="old"),
            event(OrderCompleted, at=NOON - timedelta(days=9), order_id="recent"),
        )
        await service.run_job("sweep")
        left = (await ask(service, "c-1")).json()
        seen = await service.client.get("/v1/metrics/overview", headers=service.key("read"))
    assert _orders(left) == ["recent"]
    assert seen.json()["commerce"]["orders"] == 2
