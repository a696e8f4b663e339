"""What Kafka knows of a group trails what the database knows: it must not decide anything."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from shared.clock import monotonic_seconds
from shared.events.topics import Topic
from shared.ids import random_event_id
from shared.runtime.kafka import KafkaLog
from shared.runtime.log import LogReader, LogWriter, OffsetGone, Outgoing, TopicPartition
from shared.runtime.settings import RuntimeSettings
from stack.backing import Kafka

DEADLINE_SECONDS = 30


class Late:
    """A member whose database answers only when it is let."""

    def __init__(self, start: int) -> None:
        self._start = start
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()

    async def assigned(
        self, partitions: frozenset[TopicPartition]
    ) -> Mapping[TopicPartition, int | None]:
        self.asked.set()
        await self.answers.wait()
        return dict.fromkeys(partitions, self._start)

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        assert partitions is not None


async def made(kafka: Kafka, records: int) -> tuple[KafkaLog, KafkaPartition]:
    """A topic of one partition with so many records."""
    log = KafkaLog(RuntimeSettings(kafka=kafka.bootstrap))
    topic = Topic(f"t-{random_event_id()}", "ingest", (), partitions=1)
    await log.ensure_topics([topic])
    writer = log.writer([topic])
    await writer.write([Outgoing(topic.name, b"k", b"%d" % number) for number in range(records)])
    await writer.stop()
    return log, KafkaPartition(topic.name, 0)


async def delete_before(kafka: Kafka, partition: KafkaPartition, offset: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.delete_records({partition: RecordsToDelete(before_offset=offset)})
    await admin.close()


async def committed(kafka: Kafka, partition: KafkaPartition, offset: int | None) -> int | None:
    """The group's offset as Kafka knows it, after setting it (None: as it is)."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap, group_id=f"g-{partition.topic}", enable_auto_commit=False
    )
    try:
        await consumer.start()
        consumer.assign([partition])
        if offset is not None:
            await consumer.commit({partition: offset})
        known: int | None = await consumer.committed(partition)
        return known
    finally:
        await consumer.stop()


async def poll_until_told(reader: LogReader) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            await reader.poll(records_max=10, timeout_seconds=0.1)


async def test_retention_that_overtook_only_what_kafka_knows_is_no_matter(kafka: Kafka) -> None:
    log, partition = await made(kafka, records=10)
    await committed(kafka, partition, 2)
    await delete_before(kafka, partition, 5)
    member, values = Late(start=7), list[bytes | None]()
    reader = log.reader([partition.topic], group=f"g-{partition.topic}", member="a")
    await reader.start(member)
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            for _ in range(20):
                assert not await reader.poll(records_max=10, timeout_seconds=0.1)
            assert member.asked.is_set()
            member.answers.set()
            while len(values) < 3:
                polled = await reader.poll(records_max=10, timeout_seconds=0.1)
                values += [one.value for records in polled.values() for one in records]
    finally:
        await reader.stop()
    assert values == [b"7", b"8", b"9"]


@pytest.mark.parametrize("start", [3, 12])
async def test_a_position_that_the_log_does_not_have_is_told(kafka: Kafka, start: int) -> None:
    log, partition = await made(kafka, records=10)
    await committed(kafka, partition, 6)
    await delete_before(kafka, partition, 5)
    member = Late(start)
    member.answers.set()
    reader = log.reader([partition.topic], group=f"g-{partition.topic}", member="a")
    await reader.start(member)
    try:
        with pytest.raises(OffsetGone, match=f"at {start}:"):
            await poll_until_told(reader)
    finally:
        await reader.stop()


async def test_the_last_position_is_told_to_kafka_before_leaving(kafka: Kafka) -> None:
    log, partition = await made(kafka, records=10)
    member, ours = Late(start=0), TopicPartition(partition.topic, 0)
    member.answers.set()
    reader = log.reader([partition.topic], group=f"g-{partition.topic}", member="a")
    await reader.start(member)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not reader.assignment():
            await reader.poll(records_max=1, timeout_seconds=0.1)
    positions: Sequence[int] = (3, 9)  # the second comes too soon after the first
    for position in positions:
        await reader.commit({ours: position})
    await reader.stop()
    assert await committed(kafka, partition, None) == positions[-1]


class AtOnce:
    """A member that begins at the beginning."""

    async def assigned(
        self, partitions: frozenset[TopicPartition]
    ) -> Mapping[TopicPartition, int | None]:
        return dict.fromkeys(partitions, 0)

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        assert partitions is not None


async def test_who_gathers_is_handed_together_what_came_meanwhile(kafka: Kafka) -> None:
    async with reading(kafka, RuntimeSettings(kafka=kafka.bootstrap, gather_seconds=1.0)) as read:
        for number in range(3):
            await read.write([b"%d" % number])
        assert len(await read.batches(3)) < 3


async def test_many_bytes_are_handed_over_before_the_time_is_up(kafka: Kafka) -> None:
    settings = RuntimeSettings(
        kafka=kafka.bootstrap, gather_seconds=1.0, gather_bytes=1_000, request_timeout_seconds=10
    )
    async with reading(kafka, settings) as read:
        began = monotonic_seconds()
        for _ in range(20):
            await read.write([bytes(2_000)])
            await read.batches(1)
        assert monotonic_seconds() - began < 20 * settings.gather_seconds / 2


class _Read:
    """What a reader of a topic of its own is handed."""

    def __init__(self, reader: LogReader, writer: LogWriter, topic: str) -> None:
        self._reader, self._writer, self._topic = reader, writer, topic

    async def write(self, values: Sequence[bytes]) -> None:
        await self._writer.write([Outgoing(self._topic, b"k", value) for value in values])

    async def batches(self, records: int) -> list[int]:
        """The sizes of what is handed over until so many records have come."""
        sizes: list[int] = []
        async with asyncio.timeout(DEADLINE_SECONDS):
            while sum(sizes) < records:
                polled = await self._reader.poll(records_max=10, timeout_seconds=0.1)
                sizes += [len(some) for some in polled.values()]
        return sizes


@asynccontextmanager
async def reading(kafka: Kafka, settings: RuntimeSettings) -> AsyncIterator[_Read]:
    log, topic = KafkaLog(settings), Topic(f"t-{random_event_id()}", "ingest", (), partitions=1)
    await log.ensure_topics([topic])
    writer = log.writer([topic])
    await writer.start()
    reader = log.reader([topic.name], group=f"g-{topic.name}", member="a")
    await reader.start(AtOnce())
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not reader.assignment():
                await reader.poll(records_max=10, timeout_seconds=0.1)
        yield _Read(reader, writer, topic.name)
    finally:
        await reader.stop()
        await writer.stop()
