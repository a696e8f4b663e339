"""The UCI « Online Retail » log as a shop's history: one event per invoice, in time order.

Source: Chen, Sain, Guo (2012), doi 10.24432/C5BW33, CC BY 4.0. Times have no zone in the log and
are read as UTC; amounts are pounds.

- A number that begins with C is a cancellation → `order.refunded`. The log does not say of which
  order: it is the customer's latest earlier order with all those articles in at least those
  quantities, else the latest with all of them, else the latest with any of them, else
  `before-log-<number>`, an order from before the log (or from another, anonymous visit).
- Every other number with at least one positive quantity → `order.completed`. The total is the sum
  of all lines; the items are those with a positive quantity and a price that is not negative.
- Rows without a customer are guests: an anonymous id per invoice.
- The books' own entries are no events; `not_sent` counts them by reason.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from stack.demo.happening import GUEST, ORDER, Happening, Intervention
from stack.demo.retail_log import Expected, Invoice, Line, read_invoices

CURRENCY = "GBP"
# Lines of the shop's own books: fees, commissions, samples, write-offs.
BOOK_CODES = frozenset({"AMAZONFEE", "B", "BANK CHARGES", "CRUK", "S"})
BAD_DEBT = "bad debt and other adjustments of the books (number begins with A)"
WRITE_OFF = "stock written off (negative quantity without a cancellation)"
FOUND = "stock found or corrected (no price and no customer)"
FEE = "fees and commissions without a customer"
NOTHING = "nothing was refunded (amount 0)"


@dataclass(slots=True)
class OnlineRetail:
    """The history. `invoices` are in time order."""

    invoices: list[Invoice]
    not_sent: dict[str, int] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"UCI Online Retail, {len(self.invoices):,} invoices of a UK gift shop"

    @property
    def starts_at(self) -> datetime:
        return self.invoices[0].at

    @property
    def ends_at(self) -> datetime:
        return self.invoices[-1].at

    @property
    def answers(self) -> bool:
        return False

    def happenings(self) -> Iterator[Happening]:
        """One event per invoice that is one."""
        earlier: dict[str, list[Invoice]] = defaultdict(list)
        self.not_sent.clear()
        for invoice in self.invoices:
            reason = why_no_event(invoice)
            if reason is not None:
                self.not_sent[reason] = self.not_sent.get(reason, 0) + 1
                continue
            known = earlier[invoice.customer] if invoice.customer else []
            if invoice.number.startswith("C"):
                yield _happening(invoice, "order.refunded", refund_data(invoice, known))
            else:
                yield _happening(invoice, ORDER, order_data(invoice))
                known.append(invoice)

    def react(self, intervention: Intervention) -> None:
        """Nobody in a log can still be won back."""


def why_no_event(invoice: Invoice) -> str | None:
    """Why an invoice says nothing about a customer, or None when it does."""
    if invoice.number.startswith("A"):
        return BAD_DEBT
    if invoice.customer is None and all(line.sku in BOOK_CODES for line in invoice.lines):
        return FEE
    if invoice.number.startswith("C"):
        return NOTHING if invoice.total >= 0 else None
    if all(line.quantity <= 0 for line in invoice.lines):
        return WRITE_OFF
    if invoice.customer is None and invoice.total <= 0:
        return FOUND
    return None


def order_data(invoice: Invoice) -> dict[str, Any]:
    """The payload of `order.completed`."""
    sold = [line for line in invoice.lines if line.quantity > 0 and line.unit_price >= 0]
    return {
        "order_id": invoice.number,
        "total": str(invoice.total),
        "currency": CURRENCY,
        "items": [_item(line, line.quantity) for line in sold],
    }


def refund_data(invoice: Invoice, earlier: list[Invoice]) -> dict[str, Any]:
    """The payload of `order.refunded`; `earlier` are the customer's orders before it."""
    return {
        "order_id": refunded_order(invoice, earlier),
        "refund_id": invoice.number,
        "amount": str(-invoice.total),
        "currency": CURRENCY,
        "items": [_item(line, -line.quantity) for line in invoice.lines if line.quantity < 0],
    }


def refunded_order(refund: Invoice, earlier: list[Invoice]) -> str:
    """The order that a refund most likely belongs to; the rule stands in the module's docstring."""
    wanted = _quantities(refund.lines, sign=-1)
    with_all = with_any = None
    for order in reversed(earlier):
        sold = _quantities(order.lines)
        if all(sold.get(sku, 0) >= quantity for sku, quantity in wanted.items()):
            return order.number
        if with_all is None and wanted.keys() <= sold.keys():
            with_all = order.number
        if with_any is None and wanted.keys() & sold.keys():
            with_any = order.number
    return with_all or with_any or f"before-log-{refund.number}"


def _quantities(lines: Iterable[Line], sign: int = 1) -> Mapping[str, int]:
    total: dict[str, int] = {}
    for line in lines:
        total[line.sku] = total.get(line.sku, 0) + sign * line.quantity
    return total


def _item(line: Line, quantity: int) -> dict[str, Any]:
    item = {"sku": line.sku, "quantity": quantity, "unit_price": str(line.unit_price)}
    return item | ({"name": line.name} if line.name else {})


def _happening(invoice: Invoice, kind: str, data: dict[str, Any]) -> Happening:
    guest = f"{GUEST}{invoice.number}"
    return Happening(
        at=invoice.at,
        id=f"online-retail-{invoice.number}",
        type=kind,
        person=invoice.customer or guest,
        data=data,
        customer_id=invoice.customer,
        anonymous_id=None if invoice.customer else guest,
    )


def load(path: Path, expected: Expected | None = None) -> OnlineRetail:
    """The log at a path, checked; raises `StackError` when it is missing or something else."""
    return OnlineRetail(read_invoices(path, expected))
