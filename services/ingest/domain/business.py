"""What happens once in a shop's life whatever the event's id: an order, a refund, a ticket.

A shop that sends an order again under a new event id must not pay its points twice. The names are
the shop's own, so they hold across its sources, and they are remembered for ever.
"""

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


class BusinessKey(NamedTuple):
    """`kind` is the event's type, `key` the shop's name for what happened."""

    kind: str
    key: str


def business_key(event: IntakeEvent) -> BusinessKey | None:
    """The permanent key of an event; None for a type that may happen again."""
    fields = _KEY_FIELDS.get(event.type)
    if fields is None:
        return None
    return BusinessKey(event.type, "\x1f".join(getattr(event.data, field) for field in fields))


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
