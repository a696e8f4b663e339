"""What leaves a service: everything that committed, in order per key, and nothing else (R5)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import asyncpg
import pytest

from shared.runtime import outbox
from shared.runtime.failpoints import FailPoints, Injected, parse
from shared.runtime.log import LogUnavailable, Outgoing
from shared.runtime.migrate import migrate
from shared.runtime.outbox import Relay, Row
from shared.testing.memory_log import MemoryLog, MemoryWriter
from tests.integration.runtime.counting import build

TOPIC = "loyalty.points"
Connect = Callable[[], Awaitable["asyncpg.Connection[asyncpg.Record]"]]


@pytest.fixture
async def connect(database_url: str) -> AsyncIterator[Connect]:
    await migrate(database_url, "loyalty", build().migrations)
    opened: list[asyncpg.Connection[asyncpg.Record]] = []

    async def make() -> "asyncpg.Connection[asyncpg.Record]":
        connection = await asyncpg.connect(database_url, server_settings={"search_path": "loyalty"})
        opened.append(connection)
        return connection

    yield make
    for connection in opened:
        await connection.close()


def row(key: str, value: str) -> Row:
    return Row(TOPIC, key.encode(), value.encode(), "{}")


def values(log: MemoryLog) -> list[str]:
    return [(record.value or b"").decode() for record in log.records(TOPIC)]


async def test_a_transaction_that_commits_late_is_not_overtaken(connect: Connect) -> None:
    """Ids are taken in one order and committed in another: nothing may be left behind."""
    early, late, reader = await connect(), await connect(), await connect()
    log = MemoryLog()
    relay = Relay(log.writer(), 100, FailPoints({}))
    waiting = early.transaction()
    await waiting.start()
    await outbox.insert(early, [row("a", "took its id first")])
    await outbox.insert(late, [row("b", "committed first")])
    assert await relay.drain(reader) == 1
    await waiting.commit()
    assert await relay.drain(reader) == 1
    assert sorted(values(log)) == ["committed first", "took its id first"]


async def test_negative_control_paging_by_id_loses_what_commits_late(connect: Connect) -> None:
    early, late, reader = await connect(), await connect(), await connect()
    waiting = early.transaction()
    await waiting.start()
    await outbox.insert(early, [row("a", "took its id first")])
    await outbox.insert(late, [row("b", "committed first")])
    first = await _page(reader, after=0)
    await waiting.commit()
    second = await _page(reader, after=first[-1]["id"])
    assert [one["value"] for one in (*first, *second)] == [b"committed first"]


async def _page(
    reader: "asyncpg.Connection[asyncpg.Record]", after: int
) -> Sequence[asyncpg.Record]:
    return list(await reader.fetch("SELECT id, value FROM outbox WHERE id > $1 ORDER BY id", after))


@pytest.mark.parametrize("gap", ["relay.before_write", "relay.after_write"])
async def test_a_relay_that_dies_in_a_gap_leaves_nothing_out(connect: Connect, gap: str) -> None:
    connection = await connect()
    log = MemoryLog()
    await outbox.insert(connection, [row("k", f"{n}") for n in range(20)])
    with pytest.raises(Injected):
        await Relay(log.writer(), 7, FailPoints(parse(f"{gap}=error:1"))).drain(connection)
    await Relay(log.writer(), 7, FailPoints({})).drain(connection)
    assert sorted(set(values(log)), key=int) == [str(n) for n in range(20)]
    assert await connection.fetchval("SELECT count(*) FROM outbox") == 0


async def test_order_per_key_is_the_order_of_publishing(connect: Connect) -> None:
    connection = await connect()
    log = MemoryLog()
    rows = [row(f"k{n % 3}", f"{n}") for n in range(300)]
    for first in range(0, 300, 10):
        await outbox.insert(connection, rows[first : first + 10])
    await Relay(log.writer(), 37, FailPoints({})).drain(connection)
    for key in (b"k0", b"k1", b"k2"):
        turns = [int(one.value or b"") for one in log.records(TOPIC) if one.key == key]
        assert turns == sorted(turns)
        assert len(turns) == 100


async def test_while_the_broker_is_away_rows_stay(connect: Connect) -> None:
    connection = await connect()
    log = MemoryLog()
    log.available = False
    await outbox.insert(connection, [row("k", "1")])
    relay = Relay(log.writer(), 10, FailPoints({}))
    with pytest.raises(LogUnavailable):
        await relay.drain(connection)
    assert await connection.fetchval("SELECT count(*) FROM outbox") == 1
    log.available = True
    assert await relay.drain(connection) == 1


async def test_a_leader_that_is_slow_to_write_keeps_its_session_awake(connect: Connect) -> None:
    connection = await connect()
    await connection.execute("SET idle_session_timeout = '1500ms'")

    class SlowWriter(MemoryWriter):
        async def write(self, records: Sequence[Outgoing]) -> None:
            await asyncio.sleep(3)
            await super().write(records)

    await outbox.insert(connection, [row("k", "1")])
    assert await Relay(SlowWriter(MemoryLog()), 10, FailPoints({})).drain(connection) == 1
