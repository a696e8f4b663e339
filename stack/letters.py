"""Dead letters for an operator: read `<service>.dead` to its end, or send it to `<service>.retry`.

A letter that was sent again and fails again comes back as a new letter. How far was sent is kept
beside the data, so that a second replay does not send the same letters twice; which letter was the
last, so that the note is not believed about another broker. The topic has one partition (the
catalogue's), hence one order.
"""

import asyncio
import json
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from shared.events.topics import SERVICES, dead_topic, retry_topic
from shared.runtime.dead import (
    EVENT_ID,
    KIND,
    REASON,
    DeadLetter,
    original_record,
    retry_of,
    was_left_out,
)
from shared.runtime.kafka import KafkaLog
from shared.runtime.log import LogReader, Record, TopicPartition
from shared.runtime.settings import RuntimeSettings
from stack.addresses import Addresses, addresses, write_private
from stack.errors import StackError
from stack.failures import during, first_line

POLL_RECORDS_MAX = 1_000
POLL_SECONDS = 0.2
READ_SECONDS_MAX = 60.0
BATCH_RECORDS = 500

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Alone:
    """A reader of whole topics has no partitions to be given."""

    async def assigned(
        self, partitions: frozenset[TopicPartition]
    ) -> Mapping[TopicPartition, int | None]:
        return dict.fromkeys(partitions)

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        assert not partitions, "without a group there is nobody to take them"


def list_letters(service: str, data_dir: Path, limit: int) -> list[DeadLetter]:
    """The last `limit` letters, oldest first."""
    records = _waited(_read(_known(service), addresses(data_dir)))
    return [_letter(record) for record in records[-limit:]]


class Replayed(NamedTuple):
    """How many letters were sent again, and how many have nothing to send but their place."""

    sent: int
    left_out: int


def replay_letters(service: str, data_dir: Path) -> Replayed:
    """Send what has not been sent again; answers how many."""
    return _waited(_replay(_known(service), data_dir))


def _known(service: str) -> str:
    if service not in SERVICES:
        raise StackError(f"There is no service {service}.", f"Choose among {', '.join(SERVICES)}.")
    return service


def _waited(work: Coroutine[Any, Any, Result]) -> Result:
    with during("The dead letters could not be handled"):
        return asyncio.run(work)


async def _read(service: str, where: Addresses) -> list[Record]:
    """The whole topic, up to where it ended when we began."""
    log = KafkaLog(RuntimeSettings(kafka=where.kafka))
    reader = log.reader([dead_topic(service).name], group=None, member="operator")
    records: list[Record] = []
    try:
        async with asyncio.timeout(READ_SECONDS_MAX):
            await reader.start(_Alone())
            ends: dict[TopicPartition, int] = {}
            # Until the topic is known to the client it has no partitions, hence no ends.
            while not ends:
                await _poll_into(records, reader)
                ends = dict(await reader.end_offsets())
            for partition, end in ends.items():
                first = await reader.beginning_offset(partition)
                while first < end and not (records and records[-1].offset + 1 >= end):
                    await _poll_into(records, reader)
    finally:
        await reader.stop()
    return records


async def _poll_into(records: list[Record], reader: LogReader) -> None:
    polled = await reader.poll(records_max=POLL_RECORDS_MAX, timeout_seconds=POLL_SECONDS)
    for batch in polled.values():
        records.extend(batch)


async def _replay(service: str, data_dir: Path) -> Replayed:
    where = addresses(data_dir)
    marks_path = data_dir / "dead-letters.json"
    marks = _marks(marks_path)
    # Tried before anything is sent: what cannot be marked would be sent at every replay.
    data_dir.mkdir(parents=True, exist_ok=True)
    write_private(marks_path, marks)
    waiting = unsent(await _read(service, where), marks.get(service))
    left_out = sum(was_left_out(record) for record in waiting)
    writer = KafkaLog(RuntimeSettings(kafka=where.kafka)).writer()
    try:
        for first in range(0, len(waiting), BATCH_RECORDS):
            batch = waiting[first : first + BATCH_RECORDS]
            whole = [record for record in batch if not was_left_out(record)]
            await writer.write([retry_of(record, retry_topic(service).name) for record in whole])
            # Marked after the write: a crash between the two sends some twice, and the reader's
            # inbox knows them; marked before, it would lose them.
            marks[service] = mark_of(batch[-1])
            write_private(marks_path, marks)
    finally:
        await writer.stop()
    return Replayed(len(waiting) - left_out, left_out)


def _marks(path: Path) -> dict[str, dict[str, int]]:
    try:
        return dict(json.loads(path.read_text())) if path.exists() else {}
    except (OSError, ValueError, TypeError) as error:
        raise StackError(
            f"{path} cannot be read ({first_line(error)}).",
            "Move it away: all letters are sent again then, and each still counts once.",
        ) from error


def mark_of(record: Record) -> dict[str, int]:
    """The last letter that was sent: another broker has another one there, or none."""
    return {"offset": record.offset, "timestamp_ms": record.timestamp_ms}


def unsent(letters: Sequence[Record], mark: Mapping[str, int] | None) -> list[Record]:
    """The letters after the mark; all of them where the mark is of another broker's letters."""
    if mark is None or not letters:
        return list(letters)
    at = mark["offset"]
    stranger = letters[-1].offset < at or any(
        one.offset == at and one.timestamp_ms != mark["timestamp_ms"] for one in letters
    )
    return [one for one in letters if stranger or one.offset > at]


def _letter(record: Record) -> DeadLetter:
    original = original_record(record)
    return DeadLetter(
        original.topic,
        original.partition,
        original.offset,
        original.key or b"",
        original.value,
        original.headers,
        record.header(KIND) or "",
        record.header(REASON) or "",
        record.header(EVENT_ID),
    )
