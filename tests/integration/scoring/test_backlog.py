"""Whether everything is handled, asked of the fake log and of the real one."""

import asyncio

import pytest

from services.scoring.handlers.backlog import Backlog
from services.scoring.main import build
from shared.events.commerce import OrderCompleted
from shared.events.topics import EVENTS
from shared.runtime.kafka import KafkaLog
from shared.runtime.log import Log, Outgoing
from shared.runtime.settings import RuntimeSettings
from shared.testing.builders import event
from shared.testing.harness import Running, running
from shared.testing.memory_log import MemoryLog

DEADLINE_SECONDS = 30.0
_HANDLED = """
INSERT INTO consumed (topic, partition, next_offset) VALUES ($1, $2, $3)
ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset
"""


@pytest.fixture(params=["memory", "kafka"])
async def log(request: pytest.FixtureRequest) -> Log:
    if request.param == "memory":
        return MemoryLog()
    found = KafkaLog(RuntimeSettings(kafka=request.getfixturevalue("kafka").bootstrap))
    await found.ensure_topics([EVENTS])
    return found


async def append(log: Log) -> None:
    writer = log.writer([EVENTS])
    await writer.start()
    await writer.write([Outgoing(EVENTS.name, b"c-1", event(OrderCompleted).to_json())])
    await writer.stop()


async def handle_all(service: Running, log: Log) -> None:
    """Moves the positions to the end, as a consumer does that has handled everything."""
    probe = Backlog(log)
    reader = await probe._connected()
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not (ends := await reader.end_offsets()):
            await asyncio.sleep(0.05)
    await probe.close()
    async with service.context.transaction() as tx:
        await tx.driver.executemany(
            _HANDLED, [(one.topic, one.partition, end) for one, end in ends.items()]
        )


async def test_the_backlog_is_empty_only_when_all_is_known_to_be_handled(
    log: Log, database_url: str
) -> None:
    async with running(build, database_url, consume=False) as service:
        backlog = Backlog(log)

        async def is_empty() -> bool:
            async with service.context.read() as session:
                return await backlog.is_empty(session.driver)

        await append(log)
        assert not await is_empty()
        await handle_all(service, log)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await is_empty():
                await asyncio.sleep(0.05)
        await append(log)
        assert not await is_empty()
        await handle_all(service, log)
        assert await is_empty()
        await backlog.close()
