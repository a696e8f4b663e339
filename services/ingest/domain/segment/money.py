"""What an order was worth, and its lines.

The worth is `revenue` (after discounts, before shipping and tax), else `subtotal`, else `total`
less `shipping` and `tax`, else the products' prices less the discount; never below nothing.
Source: Segment's e-commerce specification, version 2.
"""

from decimal import Decimal, localcontext
from typing import Any, NamedTuple

from services.ingest.domain.flaws import FLAWS_MAX
from services.ingest.domain.segment.values import (
    EXACT,
    Fields,
    Object,
    amount_of,
    rounded,
    spelled,
)

_LINE_CHARS_MAX = 1_000
PRODUCTS = "products"
_NOTHING = Decimal(0)


class Line(NamedTuple):
    """An item of ours, and what it comes to; None when the product has no price."""

    item: Object
    worth: Decimal | None


def worth_of(fields: Fields, lines: list[Line], *names: str) -> tuple[str, Decimal] | None:
    """The field that decides, and the amount; None when nothing tells it. `names` are fields that
    tell it outright, before all others."""
    flaws = len(fields.flaws)
    with localcontext(EXACT):
        for name in (*names, "revenue", "subtotal"):
            amount = fields.amount(name)
            if amount is not None:
                return name, amount
            if len(fields.flaws) > flaws:
                return None
        total = fields.amount("total")
        if total is not None:
            extras = (fields.amount(name) or _NOTHING for name in ("shipping", "tax"))
            return "total", rounded(max(_NOTHING, total - sum(extras)))
        if len(fields.flaws) > flaws or not lines or any(line.worth is None for line in lines):
            return None
        goods = sum((line.worth or _NOTHING for line in lines), _NOTHING)
        return PRODUCTS, rounded(max(_NOTHING, goods - (fields.amount("discount") or _NOTHING)))


def lines_of(fields: Fields) -> list[Line]:
    """The products as items, in their order, so that their indexes are the same."""
    found = fields.found(PRODUCTS)
    if found is None:
        return []
    if not isinstance(found[1], list):
        fields.flaw(PRODUCTS, "must be a list", "invalid_value")
        return []
    lines: list[Line] = []
    for index, value in enumerate(found[1]):
        if len(fields.flaws) >= FLAWS_MAX:
            break  # it is refused anyway, and its flaws are compared with one another
        lines.append(_line(value, fields, f"{PRODUCTS}.{index}"))
    return lines


def line_of(fields: Fields) -> Line:
    """The one product that a call is about: its fields stand among the properties."""
    sku = fields.required("product_id", fields.id("sku", "product_id"))
    price = fields.amount("price")
    quantity = _quantity(fields)
    return _priced({"sku": sku} | _described(fields), price, quantity)


def _line(value: Any, fields: Fields, name: str) -> Line:
    if not isinstance(value, dict):
        fields.flaw(name, "must be an object", "invalid_value")
        return Line({}, None)
    return line_of(Fields(value, fields.at(name), fields.flaws))


def _described(fields: Fields) -> Object:
    texts = {name: fields.text(_LINE_CHARS_MAX, name) for name in ("name", "category")}
    return {name: text for name, text in texts.items() if text is not None}


def _quantity(fields: Fields) -> Decimal:
    found = fields.found("quantity")
    if found is None:
        return Decimal(1)
    quantity = amount_of(found[1])
    if quantity is None:
        fields.flaw("quantity", "must be a number", "invalid_value")
    return quantity or _NOTHING


def _priced(item: Object, price: Decimal | None, quantity: Decimal) -> Line:
    """Half a kilogram is one item at half the price: our quantities are whole."""
    with localcontext(EXACT):
        worth = rounded(price * quantity) if price is not None else None
        if quantity == quantity.to_integral_value():
            unit_price, whole = price or _NOTHING, int(quantity)
        else:
            unit_price, whole = worth or _NOTHING, 1
    return Line(item | {"quantity": whole, "unit_price": spelled(unit_price)}, worth)
