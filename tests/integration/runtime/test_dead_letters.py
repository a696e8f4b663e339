"""Dead letters: the rest proceeds, the reason is told, and a repaired service can try again."""

import json
from collections.abc import Sequence
from datetime import datetime

from shared.events.commerce import OrderCompleted
from shared.events.topics import EVENTS
from shared.runtime.db import Transaction
from shared.runtime.dead import retry_of
from shared.runtime.log import Outgoing
from shared.runtime.outbox import TYPE_HEADER
from shared.runtime.service import On, Service, Subscription
from shared.testing.builders import event
from shared.testing.harness import Running, running
from shared.testing.memory_log import MemoryLog
from tests.integration.runtime.counting import POISON, CountingSettings, build, count


def repaired(settings: CountingSettings | None = None) -> Service:
    """The same service after a fix: what was poison is counted like any order."""

    async def count_all(
        tx: Transaction, events: Sequence[OrderCompleted], *, now: datetime
    ) -> None:
        for one in events:
            one.data.__dict__["order_id"] = one.data.order_id.replace(POISON, "mended")
        await count(tx, events, now=now)

    service = build(settings)
    subscription = Subscription(EVENTS, (On((OrderCompleted,), count_all),))
    return Service(
        name=service.name,
        settings=service.settings,
        metadata=service.metadata,
        migrations=service.migrations,
        subscriptions=(subscription,),
    )


async def put_raw(service: Running, value: bytes, type_name: str | None = None) -> None:
    headers = ((TYPE_HEADER, type_name.encode()),) if type_name else ()
    await service.log.append([Outgoing(EVENTS.name, b"c-1", value, headers)])


def envelope(**changed: object) -> bytes:
    return json.dumps(json.loads(event(OrderCompleted).to_json()) | changed).encode()


async def test_records_that_cannot_be_read_are_set_aside_with_their_reason(
    database_url: str,
) -> None:
    async with running(build, database_url) as service:
        await put_raw(service, b"{ not json")
        await put_raw(service, envelope(type="order.teleported"), "order.teleported")
        await put_raw(service, envelope(schemaversion=99), "order.completed")
        await put_raw(service, envelope(subject="somebody else"), "order.completed")
        await service.feed(event(OrderCompleted, customer="c-9"))
        reasons = {one["tenure-dead-kind"]: one["tenure-dead-reason"] for one in service.dead()}
        async with service.context.read() as session:
            assert await session.driver.fetchval("SELECT sum(orders) FROM counts") == 1
    assert set(reasons) == {"InvalidEvent", "UnknownType", "FutureVersion"}
    assert "order.teleported" in reasons["UnknownType"]
    assert "version 99" in reasons["FutureVersion"]


async def test_after_a_fix_a_dead_letter_is_applied_exactly_once(database_url: str) -> None:
    log = MemoryLog()
    async with running(build, database_url, log=log) as service:
        await service.feed(
            event(OrderCompleted, customer="c-1", order_id=POISON, id="bad"),
            event(OrderCompleted, customer="c-1", order_id="o-2", id="good"),
        )
        assert len(service.dead()) == 1
    async with running(repaired, database_url, log=log) as service:
        letters = log.records("loyalty.dead")
        for _ in range(2):
            await log.append([retry_of(letter, "loyalty.retry") for letter in letters])
        # Something after it on the usual topic, so that settling has something to wait for.
        await service.feed(event(OrderCompleted, customer="c-2", order_id="o-3"))
        await _until_retried(service)
        async with service.context.read() as session:
            seen = await session.driver.fetchval("SELECT seen FROM counts WHERE customer_id='c-1'")
    assert sorted(seen) == ["mended", "o-2"]


async def test_a_dead_letter_sent_again_without_a_fix_is_dead_again(database_url: str) -> None:
    log = MemoryLog()
    async with running(build, database_url, log=log) as service:
        await service.feed(event(OrderCompleted, order_id=POISON))
        letters = log.records("loyalty.dead")
        await log.append([retry_of(letter, "loyalty.retry") for letter in letters])
        await service.feed(event(OrderCompleted, customer="c-2"))
        await _until_retried(service)
        again = service.dead()
    assert len(again) == 2
    assert again[0]["tenure-original-offset"] == again[1]["tenure-original-offset"]


async def _until_retried(service: Running) -> None:
    (partition,) = service.log.partitions_of("loyalty.retry")
    while True:
        await service.settle()
        async with service.context.read() as session:
            at = await session.driver.fetchval(
                "SELECT next_offset FROM consumed WHERE topic = 'loyalty.retry'"
            )
        if at == service.log.end(partition):
            await service.settle()
            return
