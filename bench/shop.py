"""What customers of a shop do: seeded visits and single events, for the door and the topic behind.

Customers come, look around and sometimes buy, many at once, so that a visit's events stand among
those of others; orders of tills and marketplaces, and what customers read and write, come alone.
Known customers are copies of a few archetypes whose histories were really lived through.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
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
# How many customers are in the shop at once: one in 200 of a hundred thousand, a busy hour.
VISITORS = 500
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
    """`count` events of customers 0 to `customers` - 1, a millisecond apart, up to `until`."""
    dice = Random(seed)
    first = until - timedelta(milliseconds=count)
    shop = _Shop(dice, customers)
    for serial in range(count):
        kind, customer = shop.next()
        name = f"{seed}-{serial}"
        yield Happening(
            f"evt-{name}",
            kind,
            customer_name(customer),
            first + timedelta(milliseconds=serial),
            _DATA[kind](dice, name),
        )


class _Shop:
    """Always the same number of visitors: who leaves makes room for the next to come.

    A visit is `session.started`, then views until the visitor buys or leaves: six events on
    average. Nothing of it depends on how long somebody has been there already, so a shop that has
    been open for long is drawn at once.
    """

    def __init__(self, dice: Random, customers: int) -> None:
        self._dice = dice
        self._customers = customers
        self._visitors = [dice.randrange(customers) for _ in range(VISITORS)]
        self._is_inside = [dice.random() < _INSIDE for _ in range(VISITORS)]

    def next(self) -> tuple[str, int]:
        """What happens next, and the number of the customer who does it."""
        dice = self._dice
        if dice.random() < _ALONE_SHARE:
            (kind,) = dice.choices(_ALONE_KINDS, cum_weights=_ALONE_WEIGHTS)
            return kind, dice.randrange(self._customers)
        place = dice.randrange(VISITORS)
        visitor = self._visitors[place]
        if not self._is_inside[place]:
            self._is_inside[place] = True
            return _ARRIVAL, visitor
        (kind,) = dice.choices(_STEP_KINDS, cum_weights=_STEP_WEIGHTS)
        if kind == _ORDER or dice.random() < _LEAVES:
            self._visitors[place] = dice.randrange(self._customers)
            self._is_inside[place] = False
        return kind, visitor


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
_ARRIVAL, _ORDER = "session.started", "order.completed"
# Of a hundred events, those that come alone and the steps of visits; the rest are arrivals.
_ALONE = {
    "order.completed": 18,
    "message.opened": 9,
    "message.clicked": 2,
    "ticket.opened": 2,
    "order.refunded": 1,
    "survey.answered": 1,
    "review.submitted": 1,
}
_STEPS = {"page.viewed": 33, "product.viewed": 12, "cart.updated": 6, _ORDER: 4}
_ARRIVALS = 100 - sum(_ALONE.values()) - sum(_STEPS.values())
_ALONE_KINDS, _ALONE_WEIGHTS = tuple(_ALONE), tuple(accumulate(_ALONE.values()))
_STEP_KINDS, _STEP_WEIGHTS = tuple(_STEPS), tuple(accumulate(_STEPS.values()))
_ALONE_SHARE = sum(_ALONE.values()) / 100
# As many leave as arrive: after an order always, after a view with this probability.
_LEAVES = (_ARRIVALS - _STEPS[_ORDER]) / (sum(_STEPS.values()) - _STEPS[_ORDER])
# Of all that visitors do next, the share that is not to arrive.
_INSIDE = sum(_STEPS.values()) / (sum(_STEPS.values()) + _ARRIVALS)
MIX = {
    **_STEPS,
    **_ALONE,
    _ARRIVAL: _ARRIVALS,
    _ORDER: _ALONE[_ORDER] + _STEPS[_ORDER],
}
