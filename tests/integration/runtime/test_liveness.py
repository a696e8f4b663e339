"""A member that is assigned nothing while records wait is not alive (R13)."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from shared.clock import monotonic_seconds
from shared.events.commerce import OrderCompleted
from shared.events.topics import EVENTS
from shared.runtime.db import Transaction
from shared.runtime.log import Listener, LogReader, LogUnavailable, Record, TopicPartition
from shared.runtime.service import On, Service, Subscription
from shared.testing.builders import event
from shared.testing.harness import running
from shared.testing.memory_log import MemoryLog, MemoryReader
from tests.integration.runtime.counting import CountingSettings, build, count

STALL_SECONDS = 0.2


class Forgotten(MemoryReader):
    """A member whom a broken assignor gives no partitions."""

    async def start(self, listener: Listener) -> None:
        self._listener = listener

    async def stop(self) -> None:
        return


class BrokenAssignor(MemoryLog):
    """A broker whose groups never assign anything."""

    def reader(self, topics: Sequence[str], *, group: str | None, member: str) -> LogReader:
        return Forgotten(self, topics, group, member)


async def test_records_that_nobody_is_assigned_end_liveness(database_url: str) -> None:
    settings = {"poll_seconds": 0.05}
    async with running(build, database_url, log=BrokenAssignor(), settings=settings) as service:
        service.health.stall_seconds = STALL_SECONDS
        await service.put(event(OrderCompleted))
        async with asyncio.timeout(20):
            while (await service.client.get("/healthz")).status_code == 200:
                await asyncio.sleep(0.05)
        reason = (await service.client.get("/healthz")).json()["reason"]
    assert "no progress on ingest.events" in reason


async def test_negative_control_liveness_that_means_running_sees_no_stall(
    database_url: str,
) -> None:
    settings = {"poll_seconds": 0.05}
    async with running(build, database_url, log=BrokenAssignor(), settings=settings) as service:
        service.health.stall_seconds = float("inf")
        await service.put(event(OrderCompleted))
        async with asyncio.timeout(20):
            while not sum(service.health.lag_records.values()):
                await asyncio.sleep(0.05)
        until = monotonic_seconds() + 3 * STALL_SECONDS
        while monotonic_seconds() < until:
            assert (await service.client.get("/healthz")).status_code == 200
            await asyncio.sleep(0.05)


async def test_a_member_that_moves_while_records_wait_stays_alive(database_url: str) -> None:
    """Lag alone is no reason: it is there for longer than a stall may last."""

    async def slow(tx: Transaction, events: Sequence[OrderCompleted], *, now: datetime) -> None:
        await tx.driver.execute("SELECT pg_sleep(0.1)")
        await count(tx, events, now=now)

    def slow_service(settings: CountingSettings | None = None) -> Service:
        subscription = Subscription(EVENTS, (On((OrderCompleted,), slow),))
        return replace(build(settings), subscriptions=(subscription,))

    settings = {"poll_seconds": 0.05, "batch_records_max": 1}
    async with running(slow_service, database_url, settings=settings) as service:
        service.health.stall_seconds = 4.0  # longer than between two looks
        await service.put(*(event(OrderCompleted, order_id=f"o-{n}") for n in range(400)))
        lagging_since: float | None = None
        async with asyncio.timeout(60):
            while lagging_since is None or monotonic_seconds() - lagging_since < 9.0:
                if lagging_since is None and any(service.health.lag_records.values()):
                    lagging_since = monotonic_seconds()
                assert (await service.client.get("/healthz")).status_code == 200
                await asyncio.sleep(0.05)
        assert sum(service.health.lag_records.values()) > 0, "it caught up: nothing was shown"


class Stopped(MemoryReader):
    """A member that has partitions and takes nothing from them."""

    async def poll(
        self,
        *,
        records_max: int,  # noqa: ARG002 — the protocol's
        timeout_seconds: float,
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        await asyncio.sleep(timeout_seconds)
        return {}


class Blind(Stopped):
    """A client that is wedged: it hands over nothing, and cannot tell where the log ends."""

    async def end_offsets(self) -> Mapping[TopicPartition, int]:
        raise LogUnavailable("no answer")


class OnceBlind(MemoryLog):
    """A broker whose first client is wedged."""

    made = 0

    def reader(self, topics: Sequence[str], *, group: str | None, member: str) -> LogReader:
        self.made += 1
        return (Blind if self.made == 1 else MemoryReader)(self, topics, group, member)


async def test_a_reader_that_is_blind_is_built_anew(database_url: str) -> None:
    log = OnceBlind()
    settings = {"poll_seconds": 0.05, "reader_blind_seconds_max": 1.0}
    async with running(build, database_url, log=log, settings=settings) as service:
        await service.feed(event(OrderCompleted))
        assert log.made == 2


class HalfStopped(MemoryLog):
    """A group of which the member "stopped" is stuck."""

    def reader(self, topics: Sequence[str], *, group: str | None, member: str) -> LogReader:
        kind = Stopped if member == "stopped" else MemoryReader
        return kind(self, topics, group, member)


async def test_a_sibling_that_is_stuck_fails_alone(database_url: str) -> None:
    log, settings = HalfStopped(), {"poll_seconds": 0.05}
    async with (
        running(build, database_url, log=log, settings=settings, replica="healthy") as healthy,
        running(build, database_url, log=log, settings=settings, replica="stopped") as stopped,
    ):
        for service in (healthy, stopped):
            service.health.stall_seconds = 4.0  # longer than between two looks
        await healthy.put(*(event(OrderCompleted, customer=f"c-{n}") for n in range(60)))
        async with asyncio.timeout(20):
            while (await stopped.client.get("/healthz")).status_code == 200:
                await asyncio.sleep(0.05)
            while not any(healthy.health.lag_records.values()):
                await asyncio.sleep(0.05)
        assert (await healthy.client.get("/healthz")).status_code == 200


class Recreated(MemoryReader):
    """Of a topic that was made anew: fetching past its end tells nothing."""

    def _take_now(self, records_max: int) -> dict[TopicPartition, list[Record]]:
        whole = {one: at for one, at in self._at.items() if at <= self._log.end(one)}
        self._at, kept = whole, self._at
        batch = super()._take_now(records_max)
        self._at = kept | self._at
        return batch


class RecreatedLog(MemoryLog):
    """A broker whose topics were made anew."""

    def reader(self, topics: Sequence[str], *, group: str | None, member: str) -> LogReader:
        return Recreated(self, topics, group, member)


async def test_a_log_shorter_than_our_position_is_a_loud_stop(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(event(OrderCompleted))
    async with running(build, database_url, log=RecreatedLog()) as service:
        async with asyncio.timeout(20):
            while service.health.stopped_because is None:
                await asyncio.sleep(0.05)
        assert "before the position 1" in service.health.stopped_because


async def test_a_log_that_is_cut_under_us_is_a_loud_stop(database_url: str) -> None:
    log = RecreatedLog()
    async with running(build, database_url, log=log) as service:
        await service.feed(event(OrderCompleted))
        log._records.clear()
        async with asyncio.timeout(20):
            while service.health.stopped_because is None:
                await asyncio.sleep(0.05)
        assert "before the position 1" in service.health.stopped_because
