"""Orders, refunds and cancellations, folded into the books in whatever order they come."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from services.loyalty.domain.accounts import Refused, Why
from services.loyalty.domain.books import Books, Happening
from services.loyalty.domain.ledger import decide_reversal
from services.loyalty.domain.orders import Cancellation, Order, Refund, points_due, refund_order
from services.loyalty.domain.program import earned_by_order
from shared.events.commerce import OrderCancelled, OrderCompleted, OrderRefunded

Outcome = Literal["booked", "remembered", "repeated", "nothing"]


class OrderDesk:
    """The orders of a batch beside its books. An order, refund or cancellation counts once."""

    def __init__(
        self, books: Books, orders: Iterable[Order] = (), refunds: Sequence[Refund] = ()
    ) -> None:
        self.books = books
        self.orders = {order.order_id: order for order in orders}
        self.known_orders = frozenset(self.orders)
        self.refunds: dict[str, dict[str, Refund]] = {}
        for refund in refunds:
            self.refunds.setdefault(refund.order_id, {})[refund.refund_id] = refund
        self.known_refunds = frozenset((one.order_id, one.refund_id) for one in refunds)
        self.changed_orders: set[str] = set()
        self.changed_refunds: set[tuple[str, str]] = set()

    def completed(self, event: OrderCompleted, happening: Happening) -> Outcome:
        """Awards the order's points, then applies what of its refunds came before it."""
        order = self._order(event.data.order_id)
        if order.has_arrived:
            return "repeated"
        customer = happening.original
        self.books.catch_up(customer, happening.at)
        self._put(
            replace(
                order,
                customer_id=customer,
                total=event.data.total,
                currency=event.data.currency,
            )
        )
        outcome = self._award(event, happening)
        waiting = self.refunds.get(order.order_id, {}).values()
        for refund in sorted(waiting, key=lambda one: (one.occurred_at, one.refund_id)):
            self._apply_refund(refund, happening)
        if order.cancellation is not None:
            self._apply_cancellation(order.order_id, happening)
        return outcome

    def refunded(self, event: OrderRefunded, happening: Happening) -> Outcome:
        """Takes back the award's points in proportion, now or when the order arrives."""
        data = event.data
        if data.refund_id in self.refunds.get(data.order_id, {}):
            return "repeated"
        refund = Refund(
            data.order_id,
            data.refund_id,
            data.amount,
            data.currency,
            happening.cause,
            happening.event_id,
            happening.occurred_at,
        )
        self._put_refund(refund)
        order = self._order(data.order_id)
        if order.customer_id is None:
            self._put(order)
            return "remembered"
        self.books.catch_up(order.customer_id, happening.at)
        return self._apply_refund(refund, happening)

    def cancelled(self, event: OrderCancelled, happening: Happening) -> Outcome:
        """Takes back whatever remains of the award, now or when the order arrives."""
        order = self._order(event.data.order_id)
        if order.cancellation is not None:
            return "repeated"
        cancellation = Cancellation(happening.cause, happening.event_id, happening.occurred_at)
        self._put(replace(order, cancellation=cancellation))
        if order.customer_id is None:
            return "remembered"
        self.books.catch_up(order.customer_id, happening.at)
        return self._apply_cancellation(order.order_id, happening)

    def _award(self, event: OrderCompleted, happening: Happening) -> Outcome:
        earned = earned_by_order(self.books.program.earning_rules, event)
        if earned is None:
            return "nothing"
        order_id = event.data.order_id
        why = happening.why(
            f"{earned.rule.points_per_unit} per whole unit of the order's total",
            rule=earned.rule.name,
            order_id=order_id,
        )
        entry = self.books.award(happening, earned.points, why, qualifying=earned.rule.qualifying)
        if isinstance(entry, Refused):
            return "nothing"
        self._put(replace(self._order(order_id), points=earned.points, lot_id=entry.lot_id))
        return "booked"

    def _apply_refund(self, refund: Refund, happening: Happening) -> Outcome:
        if refund.applied:
            return "repeated"
        self._put_refund(replace(refund, applied=True))
        self._put(refund_order(self._order(refund.order_id), refund))
        why = Why(
            refund.cause,
            refund.occurred_at,
            happening.at,
            "refund, in proportion to the order's total",
            order_id=refund.order_id,
        )
        return self._reverse(refund.order_id, why, replace(happening, event_id=refund.event_id))

    def _apply_cancellation(self, order_id: str, happening: Happening) -> Outcome:
        order = self._order(order_id)
        cancelled = order.cancellation
        assert cancelled is not None
        if cancelled.applied:
            return "repeated"
        self._put(replace(order, cancellation=replace(cancelled, applied=True)))
        why = Why(
            cancelled.cause,
            cancelled.occurred_at,
            happening.at,
            "the order was cancelled",
            order_id=order_id,
        )
        return self._reverse(order_id, why, replace(happening, event_id=cancelled.event_id))

    def _reverse(self, order_id: str, why: Why, happening: Happening) -> Outcome:
        order = self._order(order_id)
        due = points_due(order)
        if due == 0 or order.lot_id is None or order.customer_id is None:
            return "nothing"
        self.books.assert_complete(order.customer_id)
        decision = decide_reversal(
            self.books.account(order.customer_id),
            self.books.lots[order.lot_id],
            self.books.lots_of(order.customer_id),
            due,
            why,
            policy=self.books.program.refund_policy,
        )
        assert not isinstance(decision, Refused), "an order reverses more than it was awarded"
        self.books.book(decision, happening)
        self._put(replace(order, reversed=order.reversed + due))
        return "booked"

    def _order(self, order_id: str) -> Order:
        return self.orders.get(order_id) or Order(order_id)

    def _put(self, order: Order) -> None:
        self.orders[order.order_id] = order
        self.changed_orders.add(order.order_id)

    def _put_refund(self, refund: Refund) -> None:
        self.refunds.setdefault(refund.order_id, {})[refund.refund_id] = refund
        self.changed_refunds.add((refund.order_id, refund.refund_id))
