"""Conversion by last touch: an order within the window after a message counts for that message."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from services.campaigns.domain.intervention import Intervention


@dataclass(frozen=True, slots=True)
class Order:
    """An order that may be what an intervention was for, and the event that told of it."""

    customer_id: str
    order_id: str
    source: str
    event_id: str
    at: datetime
    total: Decimal
    currency: str


def credited(order: Order, sent: Sequence[Intervention]) -> Intervention | None:
    """The intervention of the same person that `order` converts, or None.

    It is the last one sent before the order and within its window; each converts only once, so a
    second order after the same message converts nothing.
    """
    touches = [one for one in sent if in_window(order, one)]
    last = max(touches, key=lambda one: (one.sent_at, one.intervention_id), default=None)
    return last if last is not None and last.converted_at is None else None


def first_order(intervention: Intervention, orders: Sequence[Order]) -> Order | None:
    """The earliest order in the window of an intervention recorded as sent only afterwards."""
    inside = [order for order in orders if in_window(order, intervention)]
    return min(inside, key=lambda order: (order.at, order.order_id), default=None)


def in_window(order: Order, intervention: Intervention) -> bool:
    """Whether the order came after the message and soon enough."""
    return (
        intervention.sent_at is not None
        and intervention.convert_until is not None
        and intervention.sent_at < order.at <= intervention.convert_until
    )
