"""The same events leave the same rows, however they come; and reads find them by index."""

import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from services.insights.main import build
from services.insights.store import overview, people, timeline
from shared.events.commerce import OrderCompleted
from shared.events.engagement import CustomerErased, CustomerUnmerged
from shared.events.envelope import Event
from shared.events.topics import PUBLIC_TOPICS
from shared.testing.builders import NOON, event
from shared.testing.harness import Running, in_batches, running
from tests.integration.insights.history import day, everything

GROWING = (
    "facts",
    "days",
    "customers",
    "orders",
    "refunds",
    "cancellations",
    "standings",
    "tiers",
    "merges",
    "operations",
)


async def stored(service: Running) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table of the service, in the order of their text, once all is counted."""
    await service.run_job("recount")
    async with service.context.read() as session:
        return {
            table: sorted(
                (tuple(row) for row in await session.driver.fetch(f"TABLE {table}")), key=str
            )
            for table in service.service.metadata.tables
        }


def history() -> list[Event]:
    """The shop's history, then a merge undone and a person erased."""
    return [
        *everything(),
        event(CustomerUnmerged, id="m2", customer="a-1", at=day(3, 2, 13), survivor_id="c-1"),
        event(CustomerErased, id="x9", customer="c-2", at=day(3, 3), erasure_id="x-1"),
        event(OrderCompleted, id="o9", customer="c-2", at=day(3, 4), order_id="B9", total="3"),
    ]


async def after(url: str, batches: Sequence[Sequence[Event]]) -> dict[str, list[tuple[Any, ...]]]:
    async with running(build, url) as service:
        for batch in batches:
            await service.feed(*batch)
        assert [letter["tenure-dead-reason"] for letter in service.dead()] == []
        return await stored(service)


async def test_borders_of_batches_do_not_show(make_database: Callable[..., str]) -> None:
    events = history()
    whole = await after(make_database(), [events])
    for size in (1, 7):
        assert await after(make_database(), in_batches(events, size)) == whole


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_the_order_of_topics_and_customers_does_not_show(
    make_database: Callable[..., str], seed: int
) -> None:
    events = everything()
    shuffled = random.Random(seed).sample(events, len(events))
    expected = await after(make_database(), [events])
    assert await after(make_database(), in_batches(shuffled, 5)) == expected


async def test_what_comes_again_changes_nothing(database_url: str) -> None:
    async with running(build, database_url) as service:
        events = history()
        await service.feed(*events)
        once = await stored(service)
        await service.feed(*events)
        assert await stored(service) == once


async def test_all_public_topics_are_heard_and_nothing_else() -> None:
    service = build()
    assert {one.topic for one in service.subscriptions} == set(PUBLIC_TOPICS)
    for one in service.subscriptions:
        assert {kind for on in one.handlers for kind in on.events} == set(one.topic.events)


@pytest.mark.parametrize(
    ("statement", "arguments", "index"),
    [
        (timeline.PAGE, (["c-1", "c-2"], NOON, NOON, "", "", None, 50), "facts_pkey"),
        (timeline.PERSON, ("c-1",), "merges_pkey"),
        (timeline.PERSON, ("c-1",), "merges_root_id"),
        (overview.ACTIVE, (NOON.date(), day(3, 3).date(), None), "days_active"),
        (overview.TALLIES, (NOON.date(), day(3, 3).date(), None), "days_day_kind"),
        (overview.ORDERS, (NOON, day(3, 3), None), "orders_at"),
        (overview.REFUNDS, (NOON, day(3, 3), None), "refunds_at"),
        (overview.ORDERS, (NOON, day(3, 3), None), "cancellations_order_id"),
        (overview.REFUNDS, (NOON, day(3, 3), None), "cancellations_order_id"),
        (overview.OPERATIONS, (NOON, day(3, 3)), "operations_at"),
        (people.NOW, (["c-1", "c-2"],), "customers_pkey"),
        (people.ARRIVALS, (NOON.date(), day(3, 3).date()), "arrivals"),
        (people.STANDINGS, (), "standing_sums"),
        (people.TIERS, (), "tier_sums"),
        (overview.ENDPOINTS, (), "endpoints"),
    ],
)
async def test_reads_go_by_index(
    database_url: str, statement: str, arguments: tuple[Any, ...], index: str
) -> None:
    """And none goes through a table that grows with customers or with time."""
    async with running(build, database_url, consume=False) as service:
        async with service.context.transaction() as tx:
            await _fill(tx.driver)
        async with service.context.read() as session:
            plan = await session.driver.fetch(f"EXPLAIN {statement}", *arguments)
    lines = "\n".join(line for (line,) in plan)
    assert index in lines
    assert [table for table in GROWING if re.search(rf"Seq Scan on {table}\b", lines)] == []


async def _fill(driver: Any) -> None:
    """Two years of 300 customers, so that the planner has something to choose by."""
    span = "FROM generate_series(1, 300) AS c, generate_series(1, 700, 7) AS d"
    at = "timestamptz '2026-03-02 12:00Z' - d * interval '1 day'"
    await driver.execute(
        f"INSERT INTO facts SELECT 'c-' || c, {at}, {at}, d, 's', 'k', null, '{{}}' {span}"
    )
    await driver.execute(
        f"INSERT INTO days SELECT 'c-' || c, ({at})::date, 'k', '', 1, 0, true {span}"
    )
    await driver.execute(f"INSERT INTO orders SELECT 'c-' || c, d, {at}, d, 1, 'GBP' {span}")
    await driver.execute(f"INSERT INTO refunds SELECT 'c-' || c, d, d, {at}, d, 1, 'GBP' {span}")
    await driver.execute(f"INSERT INTO operations SELECT 'e-' || c, {at}, d, 's', 'k' {span}")
    await driver.execute(f"INSERT INTO cancellations SELECT 'c-' || c, d, {at}, d {span}")
    many = "FROM generate_series(1, 5000) AS c"
    await driver.execute(
        f"INSERT INTO merges SELECT 'a-' || c, 'c-' || c, true, now(), 'e', 'c-' || c {many}"
    )
    await driver.execute(f"INSERT INTO customers SELECT 'c-' || c, now() {many}")
    await driver.execute(
        "INSERT INTO standings SELECT 'c-' || c, now(), 0.5, 'low', 's', 'l', 1, 1, 'high', 'GBP' "
        f"{many}"
    )
    await driver.execute(f"INSERT INTO tiers SELECT 'c-' || c, now(), 'gold' {many}")
    for table in GROWING:
        await driver.execute(f"ANALYZE {table}")
