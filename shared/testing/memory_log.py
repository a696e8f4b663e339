"""A log in memory that keeps the same promises as Kafka: the contract suite runs on both.

One `MemoryLog` is one broker. Readers of a group share partitions by ranges, members come and go
with a rebalance, records stay until they are deleted.
"""

import asyncio
from collections.abc import Mapping, Sequence

from aiokafka.partitioner import murmur2

from shared.clock import unix_seconds
from shared.events.topics import TOPICS, Topic
from shared.runtime.log import (
    Listener,
    LogReader,
    LogUnavailable,
    LogWriter,
    OffsetGone,
    Outgoing,
    Record,
    TopicPartition,
)


class MemoryLog:
    """A broker without a network. `available = False` makes every call fail, as an outage does."""

    def __init__(self, topics: Sequence[Topic] = TOPICS) -> None:
        self.available = True
        self._partitions: dict[str, int] = {topic.name: topic.partitions for topic in topics}
        self._records: dict[TopicPartition, list[Record]] = {}
        self._begin: dict[TopicPartition, int] = {}
        self._groups: dict[str, list[MemoryReader]] = {}
        self._arrived = asyncio.Condition()

    def reader(self, topics: Sequence[str], *, group: str | None, member: str) -> LogReader:
        return MemoryReader(self, topics, group, member)

    def writer(self, topics: Sequence[Topic] = TOPICS) -> LogWriter:  # noqa: ARG002
        return MemoryWriter(self)

    async def ensure_topics(self, topics: Sequence[Topic]) -> None:
        self.demand()
        for topic in topics:
            found = self._partitions.setdefault(topic.name, topic.partitions)
            if found != topic.partitions:
                raise ValueError(f"topic {topic.name} has {found} partitions")

    def demand(self) -> None:
        if not self.available:
            raise LogUnavailable("the memory log was made unavailable")

    def partitions_of(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for number in range(self._partitions[topic])]

    def partition_of(self, topic: str, key: bytes) -> int:
        return (int(murmur2(key)) & 0x7FFFFFFF) % self._partitions[topic]

    def records(self, topic: str) -> list[Record]:
        """Everything in a topic, partition by partition."""
        return [
            record for one in self.partitions_of(topic) for record in self._records.get(one, ())
        ]

    def begin(self, partition: TopicPartition) -> int:
        return self._begin.get(partition, 0)

    def end(self, partition: TopicPartition) -> int:
        return self.begin(partition) + len(self._records.get(partition, ()))

    def delete_before(self, partition: TopicPartition, offset: int) -> None:
        """What retention does."""
        records = self._records.get(partition, [])
        self._records[partition] = [record for record in records if record.offset >= offset]
        self._begin[partition] = offset

    def read(self, partition: TopicPartition, offset: int, records_max: int) -> list[Record]:
        if not self.begin(partition) <= offset <= self.end(partition):
            raise OffsetGone(f"{partition.topic}/{partition.partition} no longer has {offset}")
        first = offset - self.begin(partition)
        return self._records.get(partition, [])[first : first + records_max]

    async def append(self, records: Sequence[Outgoing]) -> None:
        self.demand()
        for record in records:
            target = TopicPartition(record.topic, self.partition_of(record.topic, record.key))
            self._records.setdefault(target, []).append(
                Record(
                    record.topic,
                    target.partition,
                    self.end(target),
                    record.key,
                    record.value,
                    record.headers,
                    int(unix_seconds() * 1000),
                )
            )
        async with self._arrived:
            self._arrived.notify_all()

    async def wait_for_records(self, timeout_seconds: float) -> None:
        async with self._arrived:
            try:
                await asyncio.wait_for(self._arrived.wait(), timeout_seconds)
            except TimeoutError:
                return

    async def join(self, reader: "MemoryReader") -> None:
        self._groups.setdefault(reader.group or "", []).append(reader)
        await self._rebalance(reader.group or "")

    async def leave(self, reader: "MemoryReader") -> None:
        members = self._groups.get(reader.group or "", [])
        if reader in members:
            members.remove(reader)
            await self._rebalance(reader.group or "")

    async def _rebalance(self, group: str) -> None:
        members = sorted(self._groups[group], key=lambda reader: reader.member)
        for reader in members:
            await reader.give_up()
        for index, reader in enumerate(members):
            share = [
                partition
                for topic in reader.topics
                for partition in self.partitions_of(topic)
                if partition.partition % len(members) == index
            ]
            await reader.take(frozenset(share))


class MemoryReader:
    """A reader of a `MemoryLog`."""

    def __init__(
        self, log: MemoryLog, topics: Sequence[str], group: str | None, member: str
    ) -> None:
        self._log = log
        self.topics = list(topics)
        self.group = group
        self.member = member
        self._listener: Listener | None = None
        self._at: dict[TopicPartition, int] = {}
        self.committed: dict[TopicPartition, int] = {}

    async def start(self, listener: Listener) -> None:
        self._log.demand()
        self._listener = listener
        if self.group:
            await self._log.join(self)
        else:
            for topic in self.topics:
                for partition in self._log.partitions_of(topic):
                    self._at[partition] = self._log.begin(partition)

    async def give_up(self) -> None:
        assert self._listener is not None
        if self._at:
            await self._listener.revoked(frozenset(self._at))
        self._at = {}

    async def take(self, partitions: frozenset[TopicPartition]) -> None:
        assert self._listener is not None
        starts = await self._listener.assigned(partitions)
        self._at = {
            partition: self._log.begin(partition) if at is None else at
            for partition in partitions
            for at in [starts.get(partition)]
        }

    async def poll(
        self, *, records_max: int, timeout_seconds: float
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        self._log.demand()
        batch = self._take_now(records_max)
        if not batch:
            await self._log.wait_for_records(timeout_seconds)
            batch = self._take_now(records_max)
        return batch

    def _take_now(self, records_max: int) -> dict[TopicPartition, list[Record]]:
        batch: dict[TopicPartition, list[Record]] = {}
        left = records_max
        for partition, at in self._at.items():
            records = self._log.read(partition, at, left) if left else []
            if records:
                batch[partition] = records
                left -= len(records)
        for partition, records in batch.items():
            self._at[partition] = records[-1].offset + 1
        return batch

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._at[partition] = offset

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._at)

    async def end_offsets(self) -> Mapping[TopicPartition, int]:
        self._log.demand()
        return {
            partition: self._log.end(partition)
            for topic in self.topics
            for partition in self._log.partitions_of(topic)
        }

    async def beginning_offset(self, partition: TopicPartition) -> int:
        self._log.demand()
        return self._log.begin(partition)

    async def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        self.committed.update(positions)

    async def stop(self) -> None:
        if self.group:
            await self._log.leave(self)


class MemoryWriter:
    """A writer of a `MemoryLog`."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    async def start(self) -> None:
        return

    async def write(self, records: Sequence[Outgoing]) -> None:
        await self._log.append(records)

    def partition_of(self, topic: str, key: bytes) -> int:
        return self._log.partition_of(topic, key)

    async def stop(self) -> None:
        return
