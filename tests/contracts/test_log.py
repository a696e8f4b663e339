"""What the runtime relies on, of any log: the fake and the real Kafka pass the same suite."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import TopicPartition as KafkaPartition

from shared.events.topics import Topic
from shared.runtime.kafka import KafkaLog
from shared.runtime.log import (
    Log,
    LogReader,
    LogUnavailable,
    OffsetGone,
    Outgoing,
    Record,
    TopicPartition,
)
from shared.runtime.settings import RuntimeSettings
from shared.testing.memory_log import MemoryLog

_serial = itertools.count(1)
Join = Callable[..., Awaitable[tuple[LogReader, "Positions"]]]
DEADLINE_SECONDS = 20.0


class Positions:
    """A listener that starts every partition at a position the test gives."""

    def __init__(self, starts: Mapping[TopicPartition, int] | None = None) -> None:
        self.starts = dict(starts or {})
        self.had: frozenset[TopicPartition] = frozenset()
        self.lost: list[frozenset[TopicPartition]] = []

    async def assigned(
        self, partitions: frozenset[TopicPartition]
    ) -> Mapping[TopicPartition, int | None]:
        self.had = partitions
        return {one: self.starts.get(one, 0) for one in partitions}

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        self.lost.append(partitions)


@pytest.fixture(params=["memory", "kafka"])
async def log(request: pytest.FixtureRequest) -> Log:
    if request.param == "memory":
        return MemoryLog()
    broker = request.getfixturevalue("kafka")
    return KafkaLog(RuntimeSettings(kafka=broker.bootstrap))


@pytest.fixture
async def topic(log: Log) -> Topic:
    made = Topic(f"test.log_{next(_serial)}", "test", ("test",), partitions=4)
    await log.ensure_topics([made])
    return made


@pytest.fixture
async def read(log: Log, topic: Topic) -> AsyncIterator[Join]:
    """`await read("member")` joins a group of this test; members leave at the end."""
    joined: list[LogReader] = []

    async def join(
        member: str, starts: Mapping[TopicPartition, int] | None = None, group: str | None = "g"
    ) -> tuple[LogReader, Positions]:
        listener = Positions(starts)
        name = f"{group}-{topic.name}" if group else None
        reader = log.reader([topic.name], group=name, member=member)
        await reader.start(listener)
        joined.append(reader)
        return reader, listener

    yield join
    for reader in joined:
        await reader.stop()


async def write(log: Log, topic: Topic, *records: Outgoing) -> None:
    writer = log.writer([topic])
    await writer.start()
    await writer.write(records)
    await writer.stop()


async def collect(reader: LogReader, count: int) -> list[Record]:
    found: list[Record] = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(found) < count:
            batch = await reader.poll(records_max=100, timeout_seconds=0.2)
            found += [record for records in batch.values() for record in records]
    return found


async def shared_out(first: LogReader, one: Positions, second: LogReader, two: Positions) -> None:
    """Until both members have partitions, and none has one of the other's."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not (one.had and two.had and one.had.isdisjoint(two.had)):
            await first.poll(records_max=10, timeout_seconds=0.1)
            await second.poll(records_max=10, timeout_seconds=0.1)


async def delete_before(log: Log, partition: TopicPartition, offset: int) -> None:
    """What retention does."""
    if isinstance(log, MemoryLog):
        log.delete_before(partition, offset)
        return
    assert isinstance(log, KafkaLog)
    admin = AIOKafkaAdminClient(bootstrap_servers=log._settings.kafka)
    await admin.start()
    try:
        await admin.delete_records({KafkaPartition(*partition): RecordsToDelete(offset)})
    finally:
        await admin.close()


def records(topic: Topic, keys: int, each: int) -> Sequence[Outgoing]:
    return [
        Outgoing(topic.name, f"k{key}".encode(), f"{turn}".encode())
        for turn in range(each)
        for key in range(keys)
    ]


async def test_what_is_written_is_read_with_key_value_and_headers(
    log: Log, topic: Topic, read: Join
) -> None:
    await write(log, topic, Outgoing(topic.name, b"k", b"v", (("h", b"1"), ("h2", b"2"))))
    reader, _ = await read("a")
    (record,) = await collect(reader, 1)
    assert (record.key, record.value, record.headers) == (b"k", b"v", (("h", b"1"), ("h2", b"2")))
    assert record.timestamp_ms > 0
    assert record.header("h2") == "2"


async def test_a_tombstone_has_no_value(log: Log, topic: Topic, read: Join) -> None:
    await write(log, topic, Outgoing(topic.name, b"k", None))
    reader, _ = await read("a")
    (record,) = await collect(reader, 1)
    assert record.value is None


async def test_order_per_key_is_kept(log: Log, topic: Topic, read: Join) -> None:
    await write(log, topic, *records(topic, keys=10, each=50))
    reader, _ = await read("a")
    found = await collect(reader, 500)
    for key in range(10):
        turns = [int(one.value or b"") for one in found if one.key == f"k{key}".encode()]
        assert turns == list(range(50))


async def test_a_key_is_always_in_the_partition_that_the_writer_tells(
    log: Log, topic: Topic, read: Join
) -> None:
    await write(log, topic, *records(topic, keys=20, each=1))
    reader, _ = await read("a")
    writer = log.writer([topic])
    await writer.start()
    for record in await collect(reader, 20):
        assert record.key is not None
        assert writer.partition_of(topic.name, record.key) == record.partition
    await writer.stop()


async def test_reading_starts_where_the_listener_says(log: Log, topic: Topic, read: Join) -> None:
    await write(log, topic, *[Outgoing(topic.name, b"k", str(n).encode()) for n in range(10)])
    first, _ = await read("a", group="one")
    (place, *_) = await collect(first, 10)
    partition = TopicPartition(topic.name, place.partition)
    second, _ = await read("b", {partition: 7}, group="two")
    assert [record.value for record in await collect(second, 3)] == [b"7", b"8", b"9"]


async def test_seeking_back_reads_again(log: Log, topic: Topic, read: Join) -> None:
    await write(log, topic, *[Outgoing(topic.name, b"k", str(n).encode()) for n in range(5)])
    reader, _ = await read("a")
    found = await collect(reader, 5)
    reader.seek(TopicPartition(topic.name, found[0].partition), 3)
    assert [record.value for record in await collect(reader, 2)] == [b"3", b"4"]


async def test_members_of_a_group_share_the_partitions(log: Log, topic: Topic, read: Join) -> None:
    first, one = await read("a")
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(one.had) < 4:
            await first.poll(records_max=10, timeout_seconds=0.1)
    second, two = await read("b")
    await shared_out(first, one, second, two)
    assert len(one.had | two.had) == 4
    assert one.lost


async def test_a_member_that_leaves_gives_its_partitions_to_the_others(
    log: Log, topic: Topic, read: Join
) -> None:
    first, one = await read("a")
    second, two = log.reader([topic.name], group=f"g-{topic.name}", member="b"), Positions()
    await second.start(two)
    await shared_out(first, one, second, two)
    gone = two.had
    assert gone, "who had nothing has nothing to give"
    await second.stop()
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(one.had) < 4 or len(first.assignment()) < 4:
            await first.poll(records_max=10, timeout_seconds=0.1)
    assert gone < first.assignment()


async def test_without_a_group_everything_is_read_from_the_beginning(
    log: Log, topic: Topic, read: Join
) -> None:
    await write(log, topic, *records(topic, keys=8, each=2))
    reader, _ = await read("a", group=None)
    assert len(await collect(reader, 16)) == 16


async def test_the_end_is_where_the_next_record_will_be(log: Log, topic: Topic, read: Join) -> None:
    await write(log, topic, *records(topic, keys=8, each=3))
    reader, _ = await read("a")
    await collect(reader, 24)
    ends = await reader.end_offsets()
    assert len(ends) == 4
    assert sum(ends.values()) == 24


async def test_a_position_that_retention_overtook_is_an_error(
    log: Log, topic: Topic, read: Join
) -> None:
    await write(log, topic, *[Outgoing(topic.name, b"k", str(n).encode()) for n in range(5)])
    found_by, _ = await read("a", group="one")
    place = (await collect(found_by, 5))[0]
    partition = TopicPartition(topic.name, place.partition)
    await delete_before(log, partition, 3)
    assert await found_by.beginning_offset(partition) == 3
    left, _ = await read("b", {partition: 3}, group="two")
    assert [record.value for record in await collect(left, 2)] == [b"3", b"4"]
    late, _ = await read("c", {partition: 2}, group="three")
    with pytest.raises(OffsetGone):
        await collect(late, 1)


async def test_a_position_beyond_the_end_is_an_error(log: Log, topic: Topic, read: Join) -> None:
    await write(log, topic, Outgoing(topic.name, b"k", b"0"))
    found_by, _ = await read("a", group="one")
    (place,) = await collect(found_by, 1)
    partition = TopicPartition(topic.name, place.partition)
    reader, _ = await read("b", {partition: 99}, group="two")
    with pytest.raises(OffsetGone):
        await collect(reader, 1)


async def test_topics_with_another_number_of_partitions_are_refused(log: Log, topic: Topic) -> None:
    other = Topic(topic.name, "test", ("test",), partitions=5)
    with pytest.raises(ValueError, match="4 partitions"):
        await log.ensure_topics([other])


async def test_ensuring_twice_is_harmless(log: Log, topic: Topic) -> None:
    await log.ensure_topics([topic])


async def test_an_absent_broker_is_told_as_such() -> None:
    away = KafkaLog(RuntimeSettings(kafka="127.0.0.1:9", request_timeout_seconds=1))
    writer = away.writer([Topic("test.none", "test", ())])
    await writer.start()
    with pytest.raises(LogUnavailable):
        await writer.write([Outgoing("test.none", b"k", b"v")])
    await writer.stop()
