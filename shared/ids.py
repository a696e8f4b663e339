"""Identifiers: their types, how new ones are made, and how derived ones follow from their cause."""

import hashlib
import itertools
import secrets
import uuid
from collections.abc import Callable
from typing import NewType

CustomerId = NewType("CustomerId", str)
EventId = NewType("EventId", str)
SourceId = NewType("SourceId", str)
KeyId = NewType("KeyId", str)
EndpointId = NewType("EndpointId", str)
DeliveryId = NewType("DeliveryId", str)
InterventionId = NewType("InterventionId", str)
EnrolmentId = NewType("EnrolmentId", str)
TaskId = NewType("TaskId", str)
LotId = NewType("LotId", str)
EntryId = NewType("EntryId", str)

TENURE_NAMESPACE = uuid.UUID("7e9d5c2e-4b0a-5d0e-9a52-6f1f6a0c3b11")
_NAMESPACE_BYTES = TENURE_NAMESPACE.bytes


def derived_id(cause: str, kind: str, ordinal: int = 0) -> str:
    """UUIDv5 of cause, kind and ordinal (RFC 9562): the same cause gives the same id, for ever."""
    name = f"{cause}\x1f{kind}\x1f{ordinal}".encode()
    # What `uuid.uuid5` does, without making an object of it: ids are made for every event.
    digest = bytearray(hashlib.sha1(_NAMESPACE_BYTES + name, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def derived_event_id(cause: str, event_type: str, ordinal: int = 0) -> EventId:
    """The id of the `ordinal`-th event of `event_type` that `cause` led to."""
    return EventId(derived_id(cause, event_type, ordinal))


def random_id(prefix: str) -> str:
    """A new unguessable id such as `ep_3hYk…`, 128 random bits, safe in URLs and headers."""
    return f"{prefix}_{secrets.token_hex(16)}"


def serial_ids(prefix: str) -> Callable[[], str]:
    """Makes new ids such as `req_9f…-17`: a random part (128 bits) once, then a number each.

    As unique as random ones and cheaper, but whoever knows one can guess the others.
    """
    numbers = itertools.count(1)
    first = random_id(prefix)
    return lambda: f"{first}-{next(numbers)}"


def random_event_id() -> EventId:
    """A new random event id (UUIDv4) for an event that came without one."""
    return EventId(str(uuid.uuid4()))


def random_secret_bytes(size_bytes: int) -> bytes:
    """Unguessable bytes for keys and signing secrets."""
    return secrets.token_bytes(size_bytes)


def customer_hash(customer: str) -> str:
    """A short one-way name of a customer for logs: never the id itself (12 hex digits)."""
    return hashlib.blake2b(customer.encode(), digest_size=6).hexdigest()
