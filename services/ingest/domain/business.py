"""What happens once in a shop's life whatever the event's id: an order, a refund, a ticket's turn.

A shop that sends an order again under a new event id must not pay its points twice. The names are
the shop's own, so they hold across its sources, and they are remembered for ever. A ticket may be
reopened and resolved again: there only what says the same is a repetition.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from services.ingest.domain.intake import IntakeEvent
from shared.events.commerce import OrderCompleted, OrderRefunded
from shared.events.support import TicketOpened, TicketResolved

_KEY_FIELDS = {
    OrderCompleted.type_name(): ("order_id",),
    # Shops number refunds within their order as often as across all of them.
    OrderRefunded.type_name(): ("order_id", "refund_id"),
    TicketOpened.type_name(): ("ticket_id",),
    TicketResolved.type_name(): ("ticket_id",),
}
_RECURRING = frozenset({TicketOpened.type_name(), TicketResolved.type_name()})
_DIGEST_BYTES = 16


class BusinessKey(NamedTuple):
    """`kind` is the event's type, `key` the shop's name for what happened; where that may happen
    again, with a digest of what was said."""

    kind: str
    key: str


def business_key(event: IntakeEvent) -> BusinessKey | None:
    """The permanent key of an event; None for a type that may happen again."""
    fields = _KEY_FIELDS.get(event.type)
    if fields is None:
        return None
    parts = [getattr(event.data, field) for field in fields]
    if event.type in _RECURRING:
        parts.append(_said(event))
    return BusinessKey(event.type, "\x1f".join(parts))


def _said(event: IntakeEvent) -> str:
    """A digest of what an event says and of when, if it says when: equal for a copy sent again,
    however it is spelled, whoever it names and wherever it came from."""
    said = event.model_dump_json(include={"data", "occurred_at"}, exclude_none=True)
    return hashlib.blake2b(said.encode(), digest_size=_DIGEST_BYTES).hexdigest()


def firsts(keys: Sequence[BusinessKey | None]) -> dict[BusinessKey, int]:
    """For each key the place of its first event in a batch."""
    places: dict[BusinessKey, int] = {}
    for place, key in enumerate(keys):
        if key is not None:
            places.setdefault(key, place)
    return places


def counted(
    keys: Sequence[BusinessKey | None], claimed: frozenset[BusinessKey] | set[BusinessKey]
) -> list[bool]:
    """Which events of a batch count: those without a key, and the first of each new key."""
    first = firsts(keys)
    return [
        key is None or (key in claimed and first[key] == place) for place, key in enumerate(keys)
    ]
