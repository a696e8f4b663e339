"""Ids that are one person: what a merge gives is told, and holds until a review."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.loyalty.domain.program import add_months
from services.loyalty.handlers import orders
from services.loyalty.main import build
from shared.clock import EventClock, ManualClock
from shared.events.commerce import OrderCompleted, OrderRefunded
from shared.events.engagement import CustomerErased, CustomerMerged, CustomerUnmerged
from shared.events.envelope import Event
from shared.events.loyalty import TierChanged
from shared.testing.builders import NOON, event
from shared.testing.harness import Running, in_batches, running

DAY = timedelta(days=1)
_LINKED = "SELECT linked_tier, linked_review_at FROM accounts WHERE linked_tier IS NOT NULL"
_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


def order(customer: str, total: int, at: datetime = NOON) -> OrderCompleted:
    return event(
        OrderCompleted, customer=customer, order_id=f"{customer}-{total}", total=str(total), at=at
    )


def merged(absorbed: str, survivor: str, at: datetime = NOON) -> CustomerMerged:
    return event(CustomerMerged, customer=absorbed, survivor_id=survivor, at=at)


def parted(absorbed: str, survivor: str, at: datetime = NOON) -> CustomerUnmerged:
    return event(CustomerUnmerged, customer=absorbed, survivor_id=survivor, at=at)


def moves(service: Running) -> list[tuple[str, str | None, str, int]]:
    return [
        (one.subject, one.data.previous, one.data.current, one.data.qualifying_points)
        for one in service.published(TierChanged)
    ]


async def tier(service: Running, customer: str) -> str:
    reply = await service.client.get(f"/v1/members/{customer}", headers=service.key("read"))
    found: str = reply.json()["tier"]
    return found


async def book(service: Running, events: Sequence[Any]) -> None:
    """Hands a batch to the handler, so that it ends where the test says."""
    async with service.context.transaction() as tx:
        await orders.apply(tx, events, now=NOON)
    for one in events:
        service.clock.observe(one.time)


async def linked(service: Running) -> list[tuple[Any, ...]]:
    async with service.context.read() as session:
        return [tuple(row) for row in await session.driver.fetch(_LINKED)]


async def test_a_merge_announces_the_tier_it_gives(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(order("c-1", 600), order("c-2", 700))
        await service.feed(merged("c-2", "c-1"))
        assert await tier(service, "c-2") == "silver"
        assert moves(service) == [("c-1", "bronze", "silver", 1300)]
        await service.feed(parted("c-2", "c-1"))
        # Two people have two partitions of the topic, which have no order between them.
        assert sorted(moves(service))[1:] == [
            ("c-1", "silver", "bronze", 600),
            ("c-2", "silver", "bronze", 700),
        ]


def lives() -> dict[str, list[Event]]:
    """Histories with links in the middle; the places of batch borders must not show."""
    return {
        "merge": [order("c-1", 600), order("c-2", 700), merged("c-2", "c-1"), order("c-1", 5)],
        "chain": [
            order("c-1", 400),
            order("c-2", 401),
            order("c-3", 402),
            merged("c-3", "c-2"),
            merged("c-2", "c-1"),
            order("c-3", 4000),
            parted("c-3", "c-2"),
            order("c-2", 300),
        ],
        "years": [
            order("c-1", 600),
            order("c-2", 1200),
            merged("c-2", "c-1", at=NOON + DAY),
            order("c-1", 4000, at=NOON + 30 * DAY),
            event(OrderRefunded, order_id="c-1-4000", amount="3000", at=NOON + 31 * DAY),
            order("c-2", 20, at=NOON + 200 * DAY),
            parted("c-2", "c-1", at=NOON + 500 * DAY),
            order("c-1", 995, at=NOON + 501 * DAY),
            merged("c-2", "c-1", at=NOON + 900 * DAY),
            order("c-2", 21, at=NOON + 1000 * DAY),
        ],
    }


@pytest.mark.parametrize("life", lives())
async def test_what_a_merge_announces_does_not_depend_on_where_batches_end(
    database_url: str, make_database: Any, life: str
) -> None:
    events, results = lives()[life], []
    for size in range(1, len(events) + 1):
        url = database_url if size == 1 else make_database()
        async with running(build, url, clock=EventClock()) as service:
            for batch in in_batches(events, size):
                await book(service, batch)
                if size % 2:
                    await service.run_job("review_tiers")
            await service.run_job("expire_lots")
            await service.run_job("review_tiers")
            told = sorted(service.published(TierChanged), key=lambda one: (one.time, one.id))
            results.append((told, await linked(service), await tier(service, "c-2")))
    assert results[0][0]
    assert all(result == results[0] for result in results)


async def test_a_tier_held_together_falls_at_a_review_only(database_url: str) -> None:
    async with running(build, database_url, clock=ManualClock(NOON)) as service:
        await service.feed(order("c-1", 600), order("c-2", 700))
        await service.feed(merged("c-2", "c-1"))
        await service.feed(event(OrderRefunded, order_id="c-2-700", amount="700"))
        assert (await tier(service, "c-1"), len(moves(service))) == ("silver", 1)
        service.clock.set(add_months(NOON, 1) - DAY)
        await service.run_job("review_tiers")
        assert (await tier(service, "c-1"), len(moves(service))) == ("silver", 1)
        service.clock.set(add_months(NOON, 1))
        assert await tier(service, "c-1") == "bronze"
        await service.run_job("review_tiers")
        assert moves(service)[1:] == [("c-1", "silver", "bronze", 600)]
        (fell,) = service.published(TierChanged)[1:]
        assert (fell.time, fell.data.reason) == (
            add_months(NOON, 1),
            "review: 600 points in 12 months",
        )


async def test_linked_ids_keep_what_they_held_together_when_a_third_joins(
    database_url: str,
) -> None:
    async with running(build, database_url) as service:
        await service.feed(order("c-1", 600), order("c-2", 700), order("c-0", 5))
        await service.feed(merged("c-2", "c-1"))
        await service.feed(event(OrderRefunded, order_id="c-2-700", amount="700"))
        await service.feed(merged("c-1", "c-0"))
        assert await tier(service, "c-0") == "silver"
        assert sorted(moves(service)) == [
            ("c-0", "bronze", "silver", 605),
            ("c-1", "bronze", "silver", 1300),
        ]
        ((_, review_at),) = await linked(service)
        assert review_at == add_months(NOON, 1)


async def test_an_erased_person_holds_nothing_together(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(order("c-1", 600), order("c-2", 700))
        await service.feed(merged("c-2", "c-1"))
        await service.feed(event(CustomerErased, customer="c-1"))
        assert await linked(service) == []


async def test_an_order_that_meets_an_uncommitted_merge_counts_for_the_person(
    database_url: str,
) -> None:
    async with running(build, database_url, clock=EventClock()) as service:
        await book(service, [order("c-1", 600), order("c-2", 300)])
        async with service.context.transaction() as tx:
            await orders.apply(tx, [merged("c-2", "c-1")], now=NOON)
            meeting = asyncio.create_task(book(service, [order("c-1", 200)]))
            async with asyncio.timeout(10), service.context.read() as session:
                while not await session.driver.fetchval(_WAITING):
                    await asyncio.sleep(0.01)
        await meeting
        await service.settle()
        assert moves(service) == [("c-1", "bronze", "silver", 1100)]
