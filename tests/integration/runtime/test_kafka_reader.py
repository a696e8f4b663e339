"""What Kafka knows of a group trails what the database knows: it must not decide anything."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from shared.events.topics import Topic
from shared.ids import random_event_id
from shared.runtime.kafka import KafkaLog
from shared.runtime.log import LogReader, OffsetGone, Outgoing, TopicPartition
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


@pytest.mark.parametrize(("gather_seconds", "polls"), [(0.0, 3), (2.0, 1)])
async def test_who_gathers_is_handed_what_came_meanwhile_at_once(
    kafka: Kafka, gather_seconds: float, polls: int
) -> None:
    settings = RuntimeSettings(kafka=kafka.bootstrap, gather_seconds=gather_seconds)
    log, topic = KafkaLog(settings), Topic(f"t-{random_event_id()}", "ingest", (), partitions=1)
    await log.ensure_topics([topic])
    writer = log.writer([topic])
    reader = log.reader([topic.name], group=f"g-{topic.name}", member="a")
    handed: list[int] = []
    polled = asyncio.Event()

    async def read() -> None:
        while sum(handed) < 3:
            for records in (await reader.poll(records_max=10, timeout_seconds=0.1)).values():
                handed.append(len(records))
            polled.set()

    await reader.start(AtOnce())
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not reader.assignment():
                await reader.poll(records_max=10, timeout_seconds=0.1)
            reading = asyncio.create_task(read())
            for number in range(3):
                await writer.write([Outgoing(topic.name, b"k", b"%d" % number)])
                while not gather_seconds and sum(handed) <= number:
                    await polled.wait()
                    polled.clear()
            await reading
    finally:
        await reader.stop()
        await writer.stop()
    assert len(handed) == polls
