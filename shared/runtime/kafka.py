"""Kafka, through aiokafka. With `kafka_topics` the only one that knows the client; it answers for
its defects.

- Its transactions speak the first protocol version only, so none are used: positions live in
  PostgreSQL and every batch checks them.
- Its sticky assignor keeps state on the class; the range assignor is used.
- A producer whose sender task died, or that lost its sequence in a broker's outage, never recovers:
  every failed write throws the producer away and the next one builds another.
- Its rebalance callbacks swallow errors; a partition whose position was not set is noticed by the
  consumer, which seeks again.
- It fetches from the offset that Kafka knows while the callback still asks for ours: that the
  broker no longer has that one is no news.
- Closing that is cut short leaves its sockets open.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import (
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.partitioner import murmur2

from shared.clock import monotonic_seconds
from shared.events.topics import TOPICS, Topic
from shared.runtime.kafka_topics import ensure_topics
from shared.runtime.log import (
    Listener,
    LogReader,
    LogUnavailable,
    LogWriter,
    OffsetGone,
    Outgoing,
    Record,
    TopicPartition,
    WrongPartitions,
)
from shared.runtime.settings import RuntimeSettings

_COMMIT_SECONDS = 1.0
_STOP_SECONDS = 4.0
_LAST_COMMIT_SECONDS = 0.5
_CLOSE_SECONDS = 0.5
_ASSIGNING_SECONDS = 0.02
_FETCH_WAIT_MS = 500
_FAILURES = (KafkaError, OSError, TimeoutError)


@lru_cache(maxsize=200_000)
def _hash(key: bytes) -> int:
    return int(murmur2(key)) & 0x7FFFFFFF


class KafkaLog:
    """A broker at `settings.kafka` (host:port, comma-separated)."""

    def __init__(self, settings: RuntimeSettings) -> None:
        self._settings = settings

    def reader(self, topics: Sequence[str], *, group: str | None, member: str) -> LogReader:
        return _Reader(self._settings, topics, group, member)

    def writer(self, topics: Sequence[Topic] = TOPICS) -> LogWriter:
        return _Writer(self._settings, topics)

    async def ensure_topics(self, topics: Sequence[Topic]) -> None:
        await ensure_topics(self._settings.kafka, topics)


class _Reader(ConsumerRebalanceListener):  # type: ignore[misc]
    """A member of a group, or without one a reader of whole topics from their beginning."""

    def __init__(
        self, settings: RuntimeSettings, topics: Sequence[str], group: str | None, member: str
    ) -> None:
        self._settings = settings
        self._topics = list(topics)
        self._group = group
        self._member = member
        self._committed_at = 0.0
        self._committing: asyncio.Task[None] | None = None
        self._positions: Mapping[TopicPartition, int] = {}
        # Partitions that were told where to start since they were assigned.
        self._sought: set[KafkaPartition] = set()

    async def start(self, listener: Listener) -> None:
        settings = self._settings
        gather_seconds = settings.gather_seconds if self._group else 0
        grouped = {"group_instance_id": f"{self._group}-{self._member}"} if self._group else {}
        self._listener = listener
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka,
            group_id=self._group,
            enable_auto_commit=False,
            # A member says where to start; without a group it is the beginning, always.
            auto_offset_reset="none" if self._group else "earliest",
            partition_assignment_strategy=[RangePartitionAssignor],
            session_timeout_ms=int(settings.session_timeout_seconds * 1000),
            heartbeat_interval_ms=int(settings.session_timeout_seconds * 1000 / 3),
            max_poll_interval_ms=int(settings.max_poll_interval_seconds * 1000),
            request_timeout_ms=int(settings.request_timeout_seconds * 1000),
            fetch_max_wait_ms=math.ceil(gather_seconds * 1000) or _FETCH_WAIT_MS,
            fetch_min_bytes=settings.gather_bytes if gather_seconds else 1,
            max_partition_fetch_bytes=4 * 1024 * 1024,
            metadata_max_age_ms=60_000,
            **grouped,
        )
        try:
            await self._consumer.start()
            self._consumer.subscribe(self._topics, listener=self if self._group else None)
        except _FAILURES as error:
            await self.stop()
            raise LogUnavailable(f"cannot join: {error!r}") from error

    def _all_partitions(self) -> list[TopicPartition]:
        return [
            TopicPartition(topic, partition)
            for topic in self._topics
            for partition in sorted(self._consumer.partitions_for_topic(topic) or ())
        ]

    async def on_partitions_assigned(self, assigned: list[KafkaPartition]) -> None:
        starts = await self._listener.assigned(_ours(assigned))
        for partition, offset in starts.items():
            if offset is not None:
                self.seek(partition, offset)

    async def on_partitions_revoked(self, revoked: list[KafkaPartition]) -> None:
        self._sought.difference_update(revoked)
        await self._listener.revoked(_ours(revoked))

    async def poll(
        self, *, records_max: int, timeout_seconds: float
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        try:
            polled = await self._consumer.getmany(
                timeout_ms=int(timeout_seconds * 1000), max_records=records_max
            )
        except NoOffsetForPartitionError:
            # Assigned a moment ago: where to start is still being read from the database.
            await asyncio.sleep(_ASSIGNING_SECONDS)
            return {}
        except OffsetOutOfRangeError as error:
            lost = [tp for tp, at in error.args[0].items() if await self._wants(tp, at)]
            if not lost:
                await asyncio.sleep(_ASSIGNING_SECONDS)
                return {}
            places = ", ".join(f"{tp.topic}/{tp.partition} at {error.args[0][tp]}" for tp in lost)
            raise OffsetGone(
                f"the log does not have {places}: retention overtook us, or it lost records"
            ) from error
        except _FAILURES as error:
            raise LogUnavailable(f"cannot read: {error!r}") from error
        return {
            TopicPartition(tp.topic, tp.partition): [_record(one) for one in records]
            for tp, records in polled.items()
        }

    async def _wants(self, partition: KafkaPartition, offset: int) -> bool:
        """Whether `offset` is where we are, and not where the client began without us."""
        return (
            partition in self._sought
            and partition in self._consumer.assignment()
            and await self._consumer.position(partition) == offset
        )

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._consumer.seek(KafkaPartition(*partition), offset)
        self._sought.add(KafkaPartition(*partition))

    def assignment(self) -> frozenset[TopicPartition]:
        return _ours(self._consumer.assignment())

    async def end_offsets(self) -> Mapping[TopicPartition, int]:
        try:
            async with asyncio.timeout(self._settings.request_timeout_seconds / 5):
                partitions = [KafkaPartition(*one) for one in self._all_partitions()]
                ends = await self._consumer.end_offsets(partitions)
        except _FAILURES as error:
            raise LogUnavailable(f"cannot ask for the end: {error!r}") from error
        return {TopicPartition(tp.topic, tp.partition): end for tp, end in ends.items()}

    async def beginning_offset(self, partition: TopicPartition) -> int:
        kafka = KafkaPartition(*partition)
        try:
            return int((await self._consumer.beginning_offsets([kafka]))[kafka])
        except _FAILURES as error:
            raise LogUnavailable(f"cannot ask for the beginning: {error!r}") from error

    async def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        self._positions = positions
        busy = self._committing is not None and not self._committing.done()
        if busy or monotonic_seconds() - self._committed_at < _COMMIT_SECONDS:
            return
        self._committed_at = monotonic_seconds()
        self._committing = asyncio.create_task(self._commit_now())

    async def _commit_now(self) -> None:
        # Only lag tools read these: our own positions are in the database.
        mine = self.assignment()
        offsets = {KafkaPartition(*tp): at for tp, at in self._positions.items() if tp in mine}
        with suppress(*_FAILURES):
            if offsets:
                await self._consumer.commit(offsets)

    async def stop(self) -> None:
        if self._committing is not None:
            self._committing.cancel()
            await asyncio.gather(self._committing, return_exceptions=True)
            # Who follows begins to fetch from here, before it knows better.
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_COMMIT_SECONDS):
                    await self._commit_now()
        await _stop(self._consumer, self._consumer._client)


def _ours(partitions: object) -> frozenset[TopicPartition]:
    return frozenset(TopicPartition(tp.topic, tp.partition) for tp in partitions)  # type: ignore[attr-defined]


def _record(one: object) -> Record:
    return Record(
        one.topic,  # type: ignore[attr-defined]
        one.partition,  # type: ignore[attr-defined]
        one.offset,  # type: ignore[attr-defined]
        one.key,  # type: ignore[attr-defined]
        one.value,  # type: ignore[attr-defined]
        tuple(one.headers),  # type: ignore[attr-defined]
        one.timestamp,  # type: ignore[attr-defined]
    )


class _Writer:
    """An idempotent producer that is replaced whenever it fails."""

    def __init__(self, settings: RuntimeSettings, topics: Sequence[Topic]) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._partitions = {topic.name: topic.partitions for topic in topics}
        self._checked: set[str] = set()
        self._building = asyncio.Lock()
        self._stopping: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Connects if the broker is there; if not, the first write will."""
        with suppress(LogUnavailable):
            await self._ready()

    async def _ready(self) -> AIOKafkaProducer:
        async with self._building:
            if self._producer is not None and not self._sender_died():
                return self._producer
            self._discard()
            producer = AIOKafkaProducer(
                bootstrap_servers=self._settings.kafka,
                acks="all",
                enable_idempotence=True,
                linger_ms=0,
                max_batch_size=1_000_000,
                max_request_size=8 * 1024 * 1024,
                request_timeout_ms=int(self._settings.request_timeout_seconds * 1000),
                metadata_max_age_ms=60_000,
            )
            try:
                await producer.start()
            except _FAILURES as error:
                await _stop(producer, producer.client)
                raise LogUnavailable(f"cannot connect: {error!r}") from error
            self._producer = producer
            return producer

    def _sender_died(self) -> bool:
        task = self._producer._sender.sender_task if self._producer else None
        return task is not None and task.done()

    def _discard(self) -> None:
        """Stops the producer in the background: what it still holds will be written anew."""
        if self._producer is not None:
            task = asyncio.create_task(_stop(self._producer, self._producer.client))
            self._producer = None
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)

    async def write(self, records: Sequence[Outgoing]) -> None:
        producer = await self._ready()
        try:
            async with asyncio.timeout(self._settings.request_timeout_seconds):
                waiting = await self._send(producer, records)
                await asyncio.gather(*waiting)
        except _FAILURES as error:
            if self._producer is producer:
                self._discard()
            raise LogUnavailable(f"cannot write: {error!r}") from error

    async def _send(
        self, producer: AIOKafkaProducer, records: Sequence[Outgoing]
    ) -> list[asyncio.Future[object]]:
        groups: dict[TopicPartition, list[Outgoing]] = {}
        for record in records:
            if record.topic not in self._checked:
                await self._check(producer, record.topic)
            partition = self.partition_of(record.topic, record.key)
            groups.setdefault(TopicPartition(record.topic, partition), []).append(record)
        waiting: list[asyncio.Future[object]] = []
        for target, group in groups.items():
            await _send_group(producer, target, group, waiting)
        return waiting

    async def _check(self, producer: AIOKafkaProducer, topic: str) -> None:
        found = len(await producer.partitions_for(topic))
        if found != self._partitions[topic]:
            raise WrongPartitions(
                f"topic {topic} has {found} partitions, not {self._partitions[topic]}: keys would "
                "land elsewhere and order per customer would be lost"
            )
        self._checked.add(topic)

    def partition_of(self, topic: str, key: bytes) -> int:
        return _hash(key) % self._partitions[topic]

    async def stop(self) -> None:
        self._discard()
        await asyncio.gather(*self._stopping, return_exceptions=True)


async def _send_group(
    producer: AIOKafkaProducer,
    target: TopicPartition,
    group: Sequence[Outgoing],
    waiting: list[asyncio.Future[object]],
) -> None:
    """Builds the broker's batches ourselves: twice as cheap as one `send` a record."""
    batch = producer.create_batch()
    for record in group:
        while (
            batch.append(
                key=record.key, value=record.value, timestamp=None, headers=list(record.headers)
            )
            is None
        ):
            if batch.record_count() == 0:
                raise ValueError(f"a record for {target.topic} is larger than a batch may be")
            waiting.append(
                await producer.send_batch(batch, target.topic, partition=target.partition)
            )
            batch = producer.create_batch()
    waiting.append(await producer.send_batch(batch, target.topic, partition=target.partition))


async def _stop(part: AIOKafkaConsumer | AIOKafkaProducer, client: Any) -> None:
    """Says goodbye; a broker that does not answer in time is left, and its sockets closed."""
    with suppress(*_FAILURES, asyncio.CancelledError):
        await asyncio.wait_for(part.stop(), _STOP_SECONDS)
    with suppress(*_FAILURES, asyncio.CancelledError):
        await asyncio.wait_for(client.close(), _CLOSE_SECONDS)
