"""What is remembered of an order, so that its refunds can come in any number, order and time."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from shared.ids import CustomerId, LotId


@dataclass(frozen=True, slots=True)
class Refund:
    """Money that went back. `applied` once the ledger has been told."""

    order_id: str
    refund_id: str
    amount: Decimal
    currency: str
    cause: str
    event_id: str
    occurred_at: datetime
    applied: bool = False


@dataclass(frozen=True, slots=True)
class Cancellation:
    """An order was called off. `applied` once the ledger has been told."""

    cause: str
    event_id: str
    occurred_at: datetime
    applied: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """An order by its id. Until it arrives itself, `customer_id` is None.

    `points` is what it was awarded, `reversed` how many of them went back, `refunded` the money.
    """

    order_id: str
    customer_id: CustomerId | None = None
    total: Decimal = Decimal(0)
    currency: str | None = None
    points: int = 0
    lot_id: LotId | None = None
    refunded: Decimal = Decimal(0)
    reversed: int = 0
    cancellation: Cancellation | None = None

    @property
    def has_arrived(self) -> bool:
        return self.customer_id is not None


def points_due(order: Order) -> int:
    """How many points must still go back, after all refunds so far.

    It rounds the sum of refunds, not each: the whole refunded in any parts is all points exactly.
    """
    if order.cancellation is not None or order.refunded >= order.total:
        target = order.points
    else:
        target = int(order.points * Fraction(order.refunded) / Fraction(order.total))
    return max(0, target - order.reversed)


def refund_order(order: Order, refund: Refund) -> Order:
    """The order after a refund; another currency than the order's changes nothing."""
    if refund.currency != order.currency:
        return order
    return replace(order, refunded=order.refunded + refund.amount)
