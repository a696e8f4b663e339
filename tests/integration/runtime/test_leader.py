"""Leading: an interruption is told by readiness and does not slow the next one down."""

import asyncio
from itertools import pairwise

import asyncpg

from shared.clock import monotonic_seconds
from shared.events.commerce import OrderCompleted
from shared.runtime.health import Health
from shared.runtime.leader import Leader
from shared.runtime.log import Outgoing
from shared.testing.builders import event
from shared.testing.harness import running
from shared.testing.memory_log import MemoryLog, MemoryWriter
from tests.integration.runtime.counting import CountingSettings, build

INTERRUPTIONS = 8


async def test_a_leader_that_was_steady_is_back_at_once(database_url: str) -> None:
    interrupted: list[float] = []

    async def lead(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        await connection.fetchval("SELECT pg_sleep(0.05)")
        interrupted.append(monotonic_seconds())
        raise ConnectionResetError

    settings = CountingSettings(database_url=database_url, leader_steady_seconds=0.05)
    task = asyncio.create_task(Leader(settings, "test", lead, Health()).run())
    async with asyncio.timeout(20):
        while len(interrupted) < INTERRUPTIONS:
            await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    gaps = [later - earlier for earlier, later in pairwise(interrupted)]
    assert max(gaps) < 2  # doubling each time, the last would be above 3


async def test_a_relay_that_cannot_write_is_told_by_readiness(database_url: str) -> None:
    class Refusing(MemoryLog):
        refuses = True

        def writer(self, topics: object = ()) -> MemoryWriter:  # noqa: ARG002
            return Writer(self)

    class Writer(MemoryWriter):
        async def write(self, records: "list[Outgoing]") -> None:  # type: ignore[override]
            if log.refuses:
                raise ConnectionRefusedError
            await super().write(records)

    log = Refusing()
    async with running(build, database_url, log=log) as service:
        await service.put(event(OrderCompleted))
        async with asyncio.timeout(10):
            while (await service.client.get("/readyz")).status_code == 200:
                await asyncio.sleep(0.02)
        assert "relay" in (await service.client.get("/readyz")).json()["reason"]
        log.refuses = False
        await service.settle()
        async with asyncio.timeout(10):
            while (await service.client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.02)
