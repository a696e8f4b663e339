"""Builders of events with defaults for everything, so that a test sets what it is about."""

from datetime import UTC, datetime
from itertools import count
from typing import Any, TypeVar

from shared.events.envelope import Event

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
_serial = count(1)

E = TypeVar("E", bound=Event)

DEFAULTS: dict[str, dict[str, Any]] = {
    "order.completed": {"order_id": "o-1", "total": "10.00", "currency": "GBP", "items": []},
    "order.refunded": {
        "order_id": "o-1",
        "refund_id": "r-1",
        "amount": "10.00",
        "currency": "GBP",
    },
    "order.cancelled": {"order_id": "o-1"},
    "payment.failed": {"amount": "10.00", "currency": "GBP"},
    "ticket.opened": {"ticket_id": "t-1", "channel": "email"},
    "ticket.replied": {"ticket_id": "t-1", "channel": "email"},
    "ticket.resolved": {"ticket_id": "t-1"},
    "review.submitted": {"rating": 5},
    "survey.answered": {"survey": "nps", "score": 9},
    "referral.made": {"referral_code": "FRIEND"},
    "customer.merged": {"survivor_id": "c-2", "reason": "both ids in one event"},
    "customer.unmerged": {"survivor_id": "c-2", "reason": "undone"},
    "customer.erased": {"erasure_id": "e-1"},
    "message.opened": {"message_id": "m-1", "channel": "email"},
    "message.clicked": {"message_id": "m-1", "channel": "email"},
    "message.unsubscribed": {"message_id": "m-1", "channel": "email"},
}


def event(kind: type[E], *, customer: str = "c-1", at: datetime = NOON, **given: Any) -> E:
    """An event of a class; keywords other than the envelope's are its data."""
    envelope = {
        name: given.pop(name) for name in ("id", "source", "cause", "alias") if name in given
    }
    return kind.model_validate(
        {
            "id": f"e-{next(_serial)}",
            "source": "/sources/test",
            "subject": customer,
            "time": at,
            "recordedtime": at,
            "data": DEFAULTS.get(kind.type_name(), {}) | given,
            **envelope,
        }
    )
