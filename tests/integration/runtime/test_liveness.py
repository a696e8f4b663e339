"""A member that is assigned nothing while records wait is not alive (R13)."""

import asyncio
from collections.abc import Sequence

from shared.events.commerce import OrderCompleted
from shared.runtime.log import Listener, LogReader
from shared.testing.builders import event
from shared.testing.harness import running
from shared.testing.memory_log import MemoryLog, MemoryReader
from tests.integration.runtime.counting import build

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


async def test_a_member_that_is_assigned_stays_alive(database_url: str) -> None:
    settings = {"poll_seconds": 0.05}
    async with running(build, database_url, settings=settings) as service:
        service.health.stall_seconds = STALL_SECONDS
        await service.feed(event(OrderCompleted))
        await asyncio.sleep(3)
        assert (await service.client.get("/healthz")).status_code == 200
