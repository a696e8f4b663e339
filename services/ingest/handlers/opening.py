"""Takes bundles apart: from one record of `ingest.received` to the events and refusals in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from services.ingest.domain.bundle import Header, RefusedLine, pack, unpack
from services.ingest.domain.intake import ONE, IntakeEvent
from services.ingest.store.rejections import Rejection
from shared.clock import EPOCH
from shared.events.registry import describe
from shared.runtime.inbox import Message, content_hash, event_key
from shared.runtime.log import Record
from shared.runtime.outbox import TRACE_HEADER


@dataclass(frozen=True, slots=True)
class Received:
    """An event as the door accepted it, with what the door knew. `happened_at` is its own time,
    corrected where the client's clock is off, or the door's. `id` is never empty."""

    event: IntakeEvent
    id: str
    source: str
    received_at: datetime
    happened_at: datetime

    @property
    def original_time(self) -> datetime | None:
        """What the client said, where another time holds."""
        claimed = self.event.occurred_at
        return claimed if claimed != self.happened_at else None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line that this version cannot read; the rest of its bundle can be."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """An event that the door refused, to be kept and listed."""

    rejection: Rejection


def open_bundle(record: Record) -> Sequence[Message]:
    """A message for every line; raises `ValueError` for what is no bundle at all."""
    if record.value is None:
        return ()
    header, first, lines = unpack(record.value)
    trace = record.header(TRACE_HEADER)
    message_of = _accepted if header.verdict == "accepted" else _refused
    return [message_of(header, line, pack(first, (line,)), trace) for line in lines]


def _accepted(header: Header, line: bytes, raw: bytes, trace: str | None) -> Message:
    """The hash covers the event as sent, not when or how often it was."""
    digest = content_hash(line)
    try:
        event = ONE.validate_json(line)
    except ValidationError as error:
        return _unreadable(header, describe(error), digest, raw, trace)
    if event.id is None or (event.customer_id is None and event.anonymous_id is None):
        return _unreadable(header, "an event without an id, or of nobody", digest, raw, trace)
    happened_at = header.happened_at(event.occurred_at)
    return Message(
        event=Received(event, event.id, header.source, header.received_at, happened_at),
        key=event_key(header.source, event.id),
        content_hash=digest,
        raw=raw,
        time=happened_at,
        event_id=event.id,
        trace=trace,
    )


def _unreadable(
    header: Header, reason: str, digest: bytes, raw: bytes, trace: str | None
) -> Message:
    name = f"unreadable.{digest.hex()}"
    key = event_key(header.source, name)
    return Message(Unreadable(reason[:500]), key, digest, raw, EPOCH, name, trace)


def _refused(header: Header, line: bytes, raw: bytes, trace: str | None) -> Message:
    """Its time is the epoch: what was refused must not move the event clock."""
    refused = RefusedLine.model_validate_json(line)
    name = f"{header.request}.{refused.index}"
    rejection = Rejection(
        id=name,
        source=header.source,
        event_index=refused.index,
        event_id=refused.id,
        event_type=refused.type,
        reason=refused.reason,
        errors=refused.errors,
        body=refused.body,
        rejected_at=header.received_at,
        default_at=header.default_at,
    )
    # No source has a blank in it, so no event that was accepted has this key.
    key = event_key(f"{header.source} rejections", name)
    return Message(Refused(rejection), key, content_hash(line), raw, EPOCH, name, trace)
