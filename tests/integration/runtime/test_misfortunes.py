"""Records and handlers that would stop a service for ever, if one of them had its way (R7, R13)."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pytest

from shared.events.commerce import OrderCompleted
from shared.events.topics import EVENTS
from shared.runtime.db import Transaction
from shared.runtime.dead import PARTITION, TOPIC
from shared.runtime.decoding import decode_event
from shared.runtime.inbox import Message
from shared.runtime.log import Outgoing, Record
from shared.runtime.metrics import REGISTRY as METRICS
from shared.runtime.outbox import TYPE_HEADER
from shared.runtime.service import EventHandler, On, Service, Subscription
from shared.testing.builders import event
from shared.testing.harness import Running, running
from tests.integration.runtime.counting import CountingSettings, build, count


async def counted(service: Running) -> int:
    async with service.context.read() as session:
        return int(await session.driver.fetchval("SELECT coalesce(sum(orders), 0) FROM counts"))


def handling(subscription: Subscription, settings: CountingSettings | None) -> Service:
    return replace(build(settings), subscriptions=(subscription,))


async def test_a_retried_record_with_a_broken_origin_is_set_aside(database_url: str) -> None:
    async with running(build, database_url) as service:
        headers = ((TOPIC, EVENTS.name.encode()), (PARTITION, b"twelve"))
        await service.log.append([Outgoing("loyalty.retry", b"c-1", b"{}", headers)])
        await service.feed(event(OrderCompleted))
        async with asyncio.timeout(10):
            while not service.dead():
                await asyncio.sleep(0.01)
        assert await counted(service) == 1


async def test_a_record_that_breaks_its_decoder_is_set_aside(database_url: str) -> None:
    def decode(record: Record) -> Sequence[Message]:
        if record.value == b"{}":
            raise KeyError("an upcast met a field it did not know")
        return decode_event(record)

    def fragile(settings: CountingSettings | None = None) -> Service:
        return handling(Subscription(EVENTS, (On((OrderCompleted,), count),), decode), settings)

    async with running(fragile, database_url) as service:
        await service.log.append([Outgoing(EVENTS.name, b"c-1", b"{}")])
        await service.feed(event(OrderCompleted))
        assert [letter["tenure-dead-kind"] for letter in service.dead()] == ["KeyError"]
        assert await counted(service) == 1


async def test_a_reason_that_utf_8_cannot_hold_leaves_all_the_same(database_url: str) -> None:
    async with running(build, database_url) as service:
        value = b'{"type": "custom.\\ud800", "schemaversion": 99}'
        await service.log.append(
            [Outgoing(EVENTS.name, b"c-1", value, ((TYPE_HEADER, b"custom.x"),))]
        )
        await service.feed(event(OrderCompleted))
        assert [letter["tenure-dead-kind"] for letter in service.dead()] == ["FutureVersion"]


async def test_a_batch_too_large_for_the_statement_timeout_is_made_smaller(
    database_url: str,
) -> None:
    async def slow(tx: Transaction, events: Sequence[OrderCompleted], *, now: datetime) -> None:
        await tx.driver.execute("SELECT pg_sleep($1)", 0.015 * len(events))
        await count(tx, events, now=now)

    def slow_service(settings: CountingSettings | None = None) -> Service:
        return handling(Subscription(EVENTS, (On((OrderCompleted,), slow),)), settings)

    orders = [event(OrderCompleted, order_id=f"o-{n}") for n in range(100)]
    limits = {"statement_timeout_seconds": 0.5}
    async with running(slow_service, database_url, settings=limits) as service:
        await service.feed(*orders)
        assert await counted(service) == 100
        assert not service.dead()


async def test_a_statement_with_wrong_arguments_is_the_handlers_fault(database_url: str) -> None:
    async def wrong(tx: Transaction, events: Sequence[OrderCompleted], *, now: datetime) -> None:
        if any(one.data.order_id == "odd" for one in events):
            await tx.driver.execute("SELECT $1::int, $2::int", 1)
        await count(tx, events, now=now)

    def wrong_service(settings: CountingSettings | None = None) -> Service:
        return handling(Subscription(EVENTS, (On((OrderCompleted,), wrong),)), settings)

    async with running(wrong_service, database_url) as service:
        await service.feed(event(OrderCompleted, order_id="odd"), event(OrderCompleted))
        assert [letter["tenure-dead-kind"] for letter in service.dead()] == ["InterfaceError"]


async def test_a_handler_that_never_returns_ends_liveness(database_url: str) -> None:
    async def stuck(tx: Transaction, events: Sequence[OrderCompleted], *, now: datetime) -> None:
        await released.wait()

    def stuck_service(settings: CountingSettings | None = None) -> Service:
        return handling(Subscription(EVENTS, (On((OrderCompleted,), stuck),)), settings)

    released = asyncio.Event()
    limits = {"poll_seconds": 0.05, "idle_in_transaction_seconds": 60}
    async with running(stuck_service, database_url, settings=limits) as service:
        service.health.stall_seconds = 0.5
        await service.put(event(OrderCompleted))
        try:
            async with asyncio.timeout(5):
                while (await service.client.get("/healthz")).status_code == 200:
                    await asyncio.sleep(0.05)
        finally:
            released.set()


def sleeping_for(customer: str, *, on_client: bool) -> EventHandler:
    """A handler that runs into a limit over one customer's events, and counts the others."""

    async def handle(tx: Transaction, events: Sequence[OrderCompleted], *, now: datetime) -> None:
        if any(one.subject == customer for one in events):
            if on_client:
                raise TimeoutError
            await tx.driver.execute("SELECT pg_sleep(60)")
        await count(tx, events, now=now)

    return handle


@pytest.mark.parametrize("on_client", [True, False])
async def test_an_event_that_outlasts_every_limit_is_set_aside_alone(
    database_url: str, *, on_client: bool
) -> None:
    handle = sleeping_for("slow", on_client=on_client)

    def slow_service(settings: CountingSettings | None = None) -> Service:
        return handling(Subscription(EVENTS, (On((OrderCompleted,), handle),)), settings)

    orders = [event(OrderCompleted, customer=f"c-{n}", order_id=f"o-{n}") for n in range(40)]
    orders[7] = event(OrderCompleted, customer="slow")
    limits = {"statement_timeout_seconds": 0.3, "poll_seconds": 0.05}
    async with running(slow_service, database_url, settings=limits) as service:
        await service.feed(*orders)
        assert await counted(service) == 39
        (letter,) = service.dead()
        assert letter["tenure-event-id"] == orders[7].id


async def test_waiting_for_a_lock_is_no_events_fault(database_url: str) -> None:
    limits = {"lock_timeout_seconds": 0.1, "poll_seconds": 0.05}
    async with running(build, database_url, settings=limits) as service:
        async with service.context.transaction() as held:
            retries = METRICS.get_sample_value("tenure_consumer_retries_total") or 0.0
            await held.driver.execute("LOCK TABLE counts IN ACCESS EXCLUSIVE MODE")
            await service.put(event(OrderCompleted))
            async with asyncio.timeout(20):
                while (METRICS.get_sample_value("tenure_consumer_retries_total") or 0) < (
                    retries + 6
                ):
                    await held.driver.execute("SELECT 1")
                    await asyncio.sleep(0.05)
        await service.settle()
        assert await counted(service) == 1
        assert not service.dead()
