"""What has been seen: positions advanced with a check, ids remembered with a content hash."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import asyncpg

from shared.runtime.failures import Fenced
from shared.runtime.log import Record, TopicPartition

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_ENSURE = """
INSERT INTO consumed (topic, partition, next_offset)
SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[]) ON CONFLICT DO NOTHING
"""
_LOAD = """
SELECT consumed.topic, consumed.partition, next_offset FROM consumed
JOIN unnest($1::text[], $2::int[]) AS wanted (topic, partition)
  ON wanted.topic = consumed.topic AND wanted.partition = consumed.partition
"""
_ADVANCE = """
UPDATE consumed SET next_offset = moved.next_offset
FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[])
  AS moved (topic, partition, expected, next_offset)
WHERE consumed.topic = moved.topic AND consumed.partition = moved.partition
  AND consumed.next_offset = moved.expected
"""
_ADMIT = """
INSERT INTO inbox (event_key, content_hash, seen_at)
SELECT key, hash, $3 FROM unnest($1::bytea[], $2::bytea[]) AS seen (key, hash)
ON CONFLICT DO NOTHING RETURNING event_key
"""
_HASHES = "SELECT event_key, content_hash FROM inbox WHERE event_key = ANY($1::bytea[])"
_SEEN = "SELECT event_key FROM inbox WHERE event_key = ANY($1::bytea[])"
_FORGET = """
DELETE FROM inbox WHERE event_key IN (SELECT event_key FROM inbox WHERE seen_at < $1 LIMIT $2)
"""


def event_key(source: str, event_id: str) -> bytes:
    """16 bytes that stand for (source, id), the unique key of a CloudEvent."""
    return hashlib.blake2b(f"{source}\x1f{event_id}".encode(), digest_size=16).digest()


def content_hash(content: bytes) -> bytes:
    """16 bytes that change when the content does."""
    return hashlib.blake2b(content, digest_size=16).digest()


@dataclass(slots=True)
class Message:
    """One event of a record. `raw` is what a dead letter carries, so that it can be tried again.

    The consumer attaches `record` after decoding; nothing else is ever assigned.
    """

    event: Any
    key: bytes
    content_hash: bytes
    raw: bytes
    time: datetime
    event_id: str
    trace: str | None = None
    record: Record | None = None

    @property
    def topic(self) -> str:
        return self.record.topic if self.record is not None else ""


@dataclass(frozen=True, slots=True)
class Move:
    """A partition's position before and after a batch."""

    partition: TopicPartition
    expected: int
    next_offset: int


@dataclass(frozen=True, slots=True)
class Admitted:
    """`fresh` are new, `duplicates` known; `conflicting` carry a known id with other content."""

    fresh: Sequence[Message]
    conflicting: Sequence[Message]
    duplicates: Sequence[Message]


async def load_positions(
    driver: Driver, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, int]:
    """The stored positions of these partitions; one never read is absent."""
    wanted = list(partitions)
    rows = await driver.fetch(_LOAD, [tp.topic for tp in wanted], [tp.partition for tp in wanted])
    return {TopicPartition(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def ensure_positions(driver: Driver, positions: Mapping[TopicPartition, int]) -> None:
    """Stores a first position where there is none; one that exists stays."""
    await driver.execute(
        _ENSURE,
        [tp.topic for tp in positions],
        [tp.partition for tp in positions],
        list(positions.values()),
    )


async def advance(driver: Driver, moves: Sequence[Move]) -> None:
    """Moves all positions, or raises `Fenced` when one is not where we left it."""
    done = await driver.execute(
        _ADVANCE,
        [move.partition.topic for move in moves],
        [move.partition.partition for move in moves],
        [move.expected for move in moves],
        [move.next_offset for move in moves],
    )
    if done != f"UPDATE {len(moves)}":
        raise Fenced(f"{len(moves)} partitions to move, {done}")


async def seen(driver: Driver, keys: Sequence[bytes]) -> set[bytes]:
    """Which of these keys were counted before, within the retention."""
    return {row["event_key"] for row in await driver.fetch(_SEEN, keys)}


async def admit(driver: Driver, messages: Sequence[Message], seen_at: datetime) -> Admitted:
    """Remembers the messages' ids; tells which are new, repeated or contradictory."""
    first: dict[bytes, Message] = {}
    repeated: list[Message] = []
    for message in messages:
        if first.setdefault(message.key, message) is not message:
            repeated.append(message)
    # In key order, so that two replicas never wait for each other in a circle.
    keys = sorted(first)
    rows = await driver.fetch(_ADMIT, keys, [first[key].content_hash for key in keys], seen_at)
    new = {row["event_key"] for row in rows}
    known = {key: first[key].content_hash for key in new}
    old = [key for key in keys if key not in new]
    if old:
        known.update(await driver.fetch(_HASHES, old))
        repeated += [first[key] for key in old]
    duplicates: list[Message] = []
    conflicting: list[Message] = []
    for one in repeated:
        same = known.get(one.key, one.content_hash) == one.content_hash
        (duplicates if same else conflicting).append(one)
    return Admitted(
        fresh=[message for key, message in first.items() if key in new],
        conflicting=conflicting,
        duplicates=duplicates,
    )


async def forget(driver: Driver, now: datetime, retention: timedelta, rows_max: int) -> bool:
    """Deletes ids older than the retention, some at a time; True when there may be more."""
    done = await driver.execute(_FORGET, now - retention, rows_max)
    return bool(done == f"DELETE {rows_max}")
