"""What customers of a shop do: a seeded mix of events, for the door and for the topic behind it.

Sizes and shares are those of a mid-size shop's tracking: mostly looking, some buying, a little
writing. Known customers are copies of a few archetypes whose histories were really lived through.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from shared.events.registry import class_of
from shared.events.topics import EVENTS
from shared.runtime.log import Outgoing
from shared.runtime.outbox import TYPE_HEADER

ARCHETYPES = 240
HISTORY_DAYS = 420
SOURCE = "/sources/bench"
CURRENCY = "GBP"
_TEXTS = (
    "The parcel came late and the box was damaged, I am not happy with this at all.",
    "Thank you, the replacement fits perfectly and your support was very kind.",
    "Where is my order? The tracking page has not changed for a week.",
)
_CATEGORIES = ("kitchen", "garden", "lighting", "toys", "stationery", "gifts")


@dataclass(frozen=True, slots=True)
class Happening:
    """One event before it has an envelope."""

    id: str
    type: str
    customer_id: str
    at: datetime
    data: dict[str, Any]


def customer_name(number: int) -> str:
    return f"c-{number:07d}"


def archetype_name(number: int) -> str:
    return f"archetype-{number % ARCHETYPES:03d}"


def happenings(*, seed: str, count: int, customers: int, until: datetime) -> Iterator[Happening]:
    """`count` events of customers 0 to `customers` - 1, in the minutes before `until`."""
    dice = Random(seed)
    first = until - timedelta(milliseconds=count)
    kinds, weights = zip(*_MIX.items(), strict=True)
    for serial, kind in enumerate(dice.choices(kinds, weights, k=count)):
        name = f"{seed}-{serial}"
        yield Happening(
            f"evt-{name}",
            kind,
            customer_name(dice.randrange(customers)),
            first + timedelta(milliseconds=serial),
            _DATA[kind](dice, name),
        )


def first_orders(*, seed: str, count: int, at: datetime) -> Iterator[Happening]:
    """One order each of customers that nobody has heard of."""
    dice = Random(seed)
    for serial in range(count):
        name = f"{seed}-{serial}"
        yield Happening(f"evt-{name}", "order.completed", f"new-{name}", at, _order(dice, name))


def histories(*, seed: str, until: datetime) -> list[Happening]:
    """The lives of the archetypes, in order of time: each has its own rhythm of orders."""
    lived: list[Happening] = []
    for number in range(ARCHETYPES):
        dice = Random(f"{seed}-{number}")
        lived.extend(_life(dice, number, seed, until))
    return sorted(lived, key=lambda one: one.at)


def _life(dice: Random, number: int, seed: str, until: datetime) -> Iterator[Happening]:
    gap_days = dice.lognormvariate(3.8, 0.8)
    day = HISTORY_DAYS * dice.random()
    serial = 0
    while serial == 0 or day > dice.random() * 20:
        kinds = ["order.completed", *dice.choices(("session.started", "page.viewed"), k=2)]
        for kind in kinds:
            name = f"{seed}-{number}-{serial}"
            at = until - timedelta(days=day, seconds=-serial)
            yield Happening(
                f"evt-{name}", kind, archetype_name(number), at, _DATA[kind](dice, name)
            )
            serial += 1
        day -= max(1.0, dice.expovariate(1 / gap_days))


def intake_body(happening: Happening) -> bytes:
    """As a shop posts it."""
    event = {
        "id": happening.id,
        "type": happening.type,
        "customer_id": happening.customer_id,
        "occurred_at": happening.at.isoformat(),
        "data": happening.data,
        "context": {"channel": "web", "device": "mobile", "locale": "en-GB"},
    }
    return json.dumps(event, separators=(",", ":")).encode()


def record_of(happening: Happening) -> Outgoing:
    """As ingest publishes it."""
    event = class_of(happening.type).model_validate(
        {
            "id": happening.id,
            "source": SOURCE,
            "type": happening.type,
            "subject": happening.customer_id,
            "time": happening.at,
            "recordedtime": happening.at,
            "data": happening.data,
        }
    )
    headers = ((TYPE_HEADER, happening.type.encode()),)
    return Outgoing(EVENTS.name, happening.customer_id.encode(), event.to_json(), headers)


def wall_now() -> datetime:
    return datetime.now(UTC)


def _order(dice: Random, name: str) -> dict[str, Any]:
    items = [_item(dice) for _ in range(dice.choice((1, 1, 2, 3)))]
    total = sum(float(item["unit_price"]) * item["quantity"] for item in items)
    return {
        "order_id": f"o-{name}",
        "total": f"{total:.2f}",
        "currency": CURRENCY,
        "items": items,
        "channel": "web",
    }


def _item(dice: Random) -> dict[str, Any]:
    return {
        "sku": f"sku-{dice.randrange(4_000)}",
        "category": dice.choice(_CATEGORIES),
        "quantity": dice.choice((1, 1, 1, 2, 4)),
        "unit_price": f"{dice.lognormvariate(2.3, 0.7):.2f}",
    }


def _refund(dice: Random, name: str) -> dict[str, Any]:
    amount = f"{dice.lognormvariate(2.3, 0.7):.2f}"
    return {"order_id": f"r-{name}", "refund_id": f"r-{name}", "amount": amount,
            "currency": CURRENCY}  # fmt: skip


def _cart(dice: Random, name: str) -> dict[str, Any]:
    return {"cart_id": f"cart-{name}", "items": [_item(dice)]}


def _visit(dice: Random, _name: str) -> dict[str, Any]:
    return {"category": dice.choice(_CATEGORIES), "url": f"/p/{dice.randrange(4_000)}"}


def _product(dice: Random, name: str) -> dict[str, Any]:
    return {"sku": f"sku-{dice.randrange(4_000)}", **_visit(dice, name)}


def _message(_dice: Random, name: str) -> dict[str, Any]:
    return {"message_id": f"m-{name}", "channel": "email"}


def _ticket(dice: Random, name: str) -> dict[str, Any]:
    return {"ticket_id": f"t-{name}", "channel": "email", "text": dice.choice(_TEXTS)}


def _survey(dice: Random, _name: str) -> dict[str, Any]:
    return {"survey": "nps", "score": dice.randrange(11)}


def _review(dice: Random, _name: str) -> dict[str, Any]:
    return {"rating": dice.randrange(1, 6), "text": dice.choice(_TEXTS)}


_DATA: dict[str, Callable[[Random, str], dict[str, Any]]] = {
    "page.viewed": _visit,
    "order.completed": _order,
    "session.started": _visit,
    "product.viewed": _product,
    "message.opened": _message,
    "cart.updated": _cart,
    "message.clicked": _message,
    "ticket.opened": _ticket,
    "order.refunded": _refund,
    "survey.answered": _survey,
    "review.submitted": _review,
}
_MIX = {
    "page.viewed": 30,
    "order.completed": 22,
    "session.started": 14,
    "product.viewed": 12,
    "message.opened": 9,
    "cart.updated": 6,
    "message.clicked": 2,
    "ticket.opened": 2,
    "order.refunded": 1,
    "survey.answered": 1,
    "review.submitted": 1,
}
