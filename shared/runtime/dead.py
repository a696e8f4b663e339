"""Dead letters: what a service could not handle, with the reason and where it came from.

They leave through the outbox, in the transaction that moves past the record. An operator lists them
from `<service>.dead` and sends them once more through `<service>.retry`, which that service alone
reads, as if they came from their original topic.
"""

import json
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from shared.events.topics import dead_topic
from shared.runtime.inbox import Message
from shared.runtime.log import Headers, Outgoing, Record
from shared.runtime.outbox import VALUE_BYTES_MAX, Row

TOPIC, PARTITION, OFFSET = (
    "tenure-original-topic",
    "tenure-original-partition",
    "tenure-original-offset",
)
KIND, REASON, AT, EVENT_ID = (
    "tenure-dead-kind",
    "tenure-dead-reason",
    "tenure-dead-at",
    "tenure-event-id",
)
# Says that the value was too large to come along.
LEFT_OUT = "tenure-dead-left-out"
_OURS = frozenset({TOPIC, PARTITION, OFFSET, KIND, REASON, AT, EVENT_ID, LEFT_OUT})
_REASON_CHARS_MAX = 500


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record, or one message of it, that could not be handled."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes | None
    headers: Headers
    kind: str
    reason: str
    event_id: str | None = None

    @classmethod
    def of(cls, record: Record, kind: str, reason: str) -> Self:
        return cls(
            record.topic,
            record.partition,
            record.offset,
            record.key or b"",
            record.value,
            record.headers,
            kind,
            reason,
        )

    @classmethod
    def of_message(cls, message: Message, kind: str, reason: str) -> Self:
        record = message.record
        assert record is not None, "the consumer attaches the record when it decodes"
        return cls(
            record.topic,
            record.partition,
            record.offset,
            record.key or b"",
            message.raw,
            record.headers,
            kind,
            reason,
            message.event_id,
        )


@dataclass(slots=True)
class DeadBound:
    """Bounds dead letters: at most `ratio_max` of the last events, once there are `count_min`."""

    ratio_max: float
    count_min: int
    outcomes: deque[bool] = field(default_factory=deque)
    window: int = 1_000

    def allows(self, applied: int, dead: int) -> bool:
        """Whether such a batch stays within the bound; it is counted once it is committed."""
        recent = self._with(applied, dead)
        lost = sum(recent)
        return not dead or lost < self.count_min or lost <= self.ratio_max * len(recent)

    def count(self, applied: int, dead: int) -> None:
        """Remembers a batch that was committed."""
        self.outcomes = deque(self._with(applied, dead))

    def _with(self, applied: int, dead: int) -> list[bool]:
        return [*self.outcomes, *([False] * applied), *([True] * dead)][-self.window :]


def row_of_dead(letter: DeadLetter, service: str, at: datetime) -> Row:
    """The outbox row that carries a dead letter to `<service>.dead`.

    A value near the broker's limit stays where it is, since headers would take it over: the letter
    then tells its place only.
    """
    value, reason = letter.value, letter.reason
    left_out: dict[str, str] = {}
    if value is not None and len(value) > VALUE_BYTES_MAX:
        reason = f"{len(value)} bytes, left at their place: {reason}"
        left_out = {LEFT_OUT: str(len(value))}
        value = None
    kept = {name: value.decode("utf-8", "replace") for name, value in letter.headers}
    headers = (
        kept
        | left_out
        | {
            TOPIC: letter.topic,
            PARTITION: str(letter.partition),
            OFFSET: str(letter.offset),
            KIND: letter.kind,
            REASON: reason[:_REASON_CHARS_MAX],
            AT: at.isoformat(),
        }
    )
    if letter.event_id is not None:
        headers[EVENT_ID] = letter.event_id
    return Row(dead_topic(service).name, letter.key, value, json.dumps(headers))


def original_record(record: Record) -> Record:
    """A record of a retry topic as it stood on its original topic; any other as it is."""
    topic = record.header(TOPIC)
    if topic is None:
        return record
    return Record(
        topic,
        _number(record.header(PARTITION)),
        _number(record.header(OFFSET)),
        record.key,
        record.value,
        tuple((name, value) for name, value in record.headers if name not in _OURS),
        record.timestamp_ms,
    )


def _number(text: str | None) -> int:
    """What a foreign writer put there is no reason to stop: -1 stands for unknown."""
    return int(text) if text is not None and text.isascii() and text.isdecimal() else -1


def was_left_out(record: Record) -> bool:
    """Whether a dead letter tells its place only: sent again, it would be a tombstone."""
    return record.header(LEFT_OUT) is not None


def retry_of(record: Record, retry_topic: str) -> Outgoing:
    """The record that sends a dead letter to its reader once more; not for one left out."""
    assert not was_left_out(record), "there is nothing to send"
    kept = tuple(
        (name, value) for name, value in record.headers if name not in {KIND, REASON, AT, EVENT_ID}
    )
    return Outgoing(retry_topic, record.key or b"", record.value, kept)
