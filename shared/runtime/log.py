"""The log as the runtime sees it: records, positions and the protocols that Kafka and the
in-memory log both keep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from shared.events.topics import TOPICS, Topic

Headers = tuple[tuple[str, bytes], ...]


class TopicPartition(NamedTuple):
    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Record:
    """One record read from the log. `timestamp_ms` is milliseconds since 1970."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int = 0

    def header(self, name: str) -> str | None:
        """The first header of that name, as text."""
        for key, value in self.headers:
            if key == name:
                return value.decode("utf-8", "replace")
        return None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record to write. Its partition follows from the key by murmur2."""

    topic: str
    key: bytes
    value: bytes | None
    headers: Headers = field(default=())


class LogUnavailable(Exception):
    """The broker is away or refused; nothing is known to have been written. Try again later."""


class OffsetGone(Exception):
    """Retention overtook a stored position: records were deleted before they were read."""


class WrongPartitions(ValueError):
    """A topic has another number of partitions than the catalogue: keys would land elsewhere."""


class Listener(Protocol):
    """Told when partitions come and go; `assigned` returns where to start in each."""

    async def assigned(
        self, partitions: frozenset[TopicPartition]
    ) -> Mapping[TopicPartition, int | None]: ...

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None: ...


class LogReader(Protocol):
    """A member of a consumer group (or, without a group, a reader of whole topics)."""

    async def start(self, listener: Listener) -> None: ...

    async def poll(
        self, *, records_max: int, timeout_seconds: float
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        """Records per partition in order. Raises `OffsetGone` or `LogUnavailable`."""
        ...

    def seek(self, partition: TopicPartition, offset: int) -> None: ...

    def assignment(self) -> frozenset[TopicPartition]: ...

    async def end_offsets(self) -> Mapping[TopicPartition, int]:
        """The next offset to be written, for each assigned partition."""
        ...

    async def beginning_offset(self, partition: TopicPartition) -> int: ...

    async def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Tell the broker, so that ordinary lag tools work. Best effort: never raises."""
        ...

    async def stop(self) -> None: ...


class LogWriter(Protocol):
    """An idempotent producer."""

    async def start(self) -> None: ...

    async def write(self, records: Sequence[Outgoing]) -> None:
        """Writes all, in order per key; returns when every replica in sync has them.

        Raises `LogUnavailable`; then any of them may have been written or not.
        """
        ...

    def partition_of(self, topic: str, key: bytes) -> int: ...

    async def stop(self) -> None: ...


class Log(Protocol):
    """A broker: makes readers and writers, and creates topics."""

    def reader(self, topics: Sequence[str], *, group: str | None, member: str) -> LogReader: ...

    def writer(self, topics: Sequence[Topic] = TOPICS) -> LogWriter:
        """A writer to these topics; their number of partitions must be the catalogue's."""
        ...

    async def ensure_topics(self, topics: Sequence[Topic]) -> None:
        """Creates what is missing and waits until every topic can be written."""
        ...
