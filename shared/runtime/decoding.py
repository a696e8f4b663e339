"""From records to messages, for every topic that carries one event a record."""

from collections.abc import Sequence

from shared.events.registry import InvalidEvent, parse
from shared.runtime.inbox import Message, content_hash, event_key
from shared.runtime.log import Record
from shared.runtime.outbox import TRACE_HEADER, TYPE_HEADER


def decode_event(record: Record) -> Sequence[Message]:
    """The event of a record; a tombstone has none. Raises `UnreadableEvent`."""
    if record.value is None:
        return ()
    event = parse(record.value, record.header(TYPE_HEADER))
    if record.key is not None and record.key != event.subject.encode():
        raise InvalidEvent("the record's key is not the event's subject")
    return (
        Message(
            event=event,
            key=event_key(event.source, event.id),
            content_hash=content_hash(record.value),
            raw=record.value,
            time=event.time,
            event_id=event.id,
            trace=record.header(TRACE_HEADER),
        ),
    )
