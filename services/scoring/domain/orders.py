"""One order as far as it is known: joined from its events in whatever order they come.

`join` is commutative, associative and idempotent, so an order told twice under another event id
counts once, and a refund that overtakes its order ends where it would have ended after it. What a
person's ids know of one order is kept by one of them, its `holder`: a guest's order may be refunded
under the name of the customer that the guest turned out to be.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import NamedTuple

from shared.events.commerce import OrderCancelled, OrderCompleted, OrderRefunded
from shared.ids import CustomerId
from shared.money import exponent

# A single amount above this many minor units counts as this: sums stay within what is published.
MINOR_UNITS_MAX = 10**16
# What a published amount can hold before its decimal point.
MAJOR_UNITS_MAX = 10**12 - 1

OrderEvent = OrderCompleted | OrderRefunded | OrderCancelled


class Refund(NamedTuple):
    """Money that went back, in minor units of its currency."""

    refund_id: str
    minor: int
    currency: str


class Order(NamedTuple):
    """`at` (seconds since 1970), `minor` and `currency` are absent until the order itself came."""

    at: int | None = None
    minor: int = 0
    currency: str = ""
    cancelled: bool = False
    refunds: tuple[Refund, ...] = ()

    def refunded(self, currency: str) -> int:
        """Minor units refunded in a currency; never more than a known order was worth."""
        total = sum(one.minor for one in self.refunds if one.currency == currency)
        return min(total, self.minor) if self._is_worth(currency) else total

    def _is_worth(self, currency: str) -> bool:
        return self.at is not None and currency == self.currency


UNKNOWN = Order()


def order_of(event: OrderEvent) -> Order:
    """What one event tells of its order."""
    if isinstance(event, OrderCompleted):
        placed = event.data
        minor = minor_units(placed.total, placed.currency)
        return Order(int(event.time.timestamp()), minor, placed.currency)
    if isinstance(event, OrderRefunded):
        refund = event.data
        minor = minor_units(refund.amount, refund.currency)
        return Order(refunds=(Refund(refund.refund_id, minor, refund.currency),))
    return Order(cancelled=True)


def join(one: Order, other: Order) -> Order:
    """What both tell. Of two reports of the order itself the earlier holds, then the larger."""
    placed = min(one, other, key=_rank)
    return Order(
        placed.at,
        placed.minor,
        placed.currency,
        one.cancelled or other.cancelled,
        _all_refunds(one, other),
    )


def holder(pieces: Mapping[CustomerId, Order]) -> CustomerId:
    """Of a person's ids that know something of one order, the one that keeps all of it: which
    placed it, the earliest first; ties go by the name."""
    return min(pieces, key=lambda one: (_rank(pieces[one]), one))


def _rank(order: Order) -> tuple[bool, int, int, str]:
    return (order.at is None, order.at or 0, -order.minor, order.currency)


def _all_refunds(one: Order, other: Order) -> tuple[Refund, ...]:
    if not other.refunds:
        return one.refunds
    largest: dict[str, Refund] = {}
    for refund in (*one.refunds, *other.refunds):
        known = largest.get(refund.refund_id)
        if known is None or (refund.minor, refund.currency) > (known.minor, known.currency):
            largest[refund.refund_id] = refund
    return tuple(largest[name] for name in sorted(largest))


def minor_units(amount: Decimal, currency: str) -> int:
    """An amount in minor units of its currency (ISO 4217), half to even, bounded."""
    scaled = amount.scaleb(exponent(currency)).to_integral_value(rounding=ROUND_HALF_EVEN)
    return max(-MINOR_UNITS_MAX, min(MINOR_UNITS_MAX, int(scaled)))


def amount_of(minor: float, currency: str) -> str:
    """Minor units as a published amount, bounded to the twelve whole digits that it can have."""
    places = exponent(currency)
    most = MAJOR_UNITS_MAX * 10**places
    bounded = max(-most, min(most, round(minor)))
    if not places:
        return str(bounded)
    whole, rest = divmod(abs(bounded), 10**places)
    return f"{'-' if bounded < 0 else ''}{whole}.{rest:0{places}d}"
