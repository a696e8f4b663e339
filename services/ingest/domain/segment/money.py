"""What an order was worth, and its lines.

The worth is `revenue` (after discounts, before shipping and tax), else `subtotal`, else `total`
less `shipping` and `tax`, else the products' prices less the discount; never below nothing.
Where one of the first three tells it, products and discount merely describe: what of them cannot be
kept is left out, and no reason to refuse an order that was paid.
Source: Segment's e-commerce specification, version 2.
"""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from services.ingest.domain.flaws import FLAWS_MAX, Flaw
from services.ingest.domain.segment.values import (
    EXACT,
    Fields,
    Object,
    amount_of,
    rounded,
    spelled,
)
from shared.events.commerce import Item
from shared.events.envelope import Amount

_LINE_CHARS_MAX = 1_000
PRODUCTS = "products"
_NOTHING = Decimal(0)
_AMOUNT: TypeAdapter[Decimal] = TypeAdapter(Amount)
Worth = tuple[str, Decimal]
"""The field that tells what something was worth, and the amount."""


class Line(NamedTuple):
    """An item of ours, what it comes to (None when the product has no price), the product's name
    within the properties, and what could not be read of it."""

    item: Object
    worth: Decimal | None
    path: str = ""
    flaws: Sequence[Flaw] = ()


def worth_of(fields: Fields, lines: list[Line], *names: str) -> Worth | None:
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


def kept(fields: Fields, lines: list[Line], worth: Worth | None) -> list[Line]:
    """The lines to keep, where `worth_of` told what all is worth. Those that it depends on must be
    read, so what is wrong with them is a flaw."""
    if worth is not None and worth[0] != PRODUCTS:
        return [line for line in lines if not line.flaws and _fits(line.item)]
    flaws = [flaw for line in lines for flaw in line.flaws]
    fields.flaws.extend(flaws[:FLAWS_MAX])
    return lines


def discount_of(fields: Fields, worth: Worth | None) -> Decimal | None:
    """What was taken off, as far as it can be kept."""
    if worth is None or worth[0] == PRODUCTS:
        return fields.amount("discount")
    found = fields.found("discount")
    amount = amount_of(found[1]) if found is not None else None
    try:
        return _AMOUNT.validate_python(amount)
    except ValidationError:
        return None


def _fits(item: Object) -> bool:
    try:
        Item.model_validate(item)
    except ValidationError:
        return False
    return True


def lines_of(fields: Fields) -> list[Line]:
    """The products as items, in their order. What is wrong with one is noted in its line."""
    found = fields.found(PRODUCTS)
    if found is None:
        return []
    if not isinstance(found[1], list):
        flaw = Flaw(fields.at(PRODUCTS), "must be a list", "invalid_value")
        return [Line({}, None, PRODUCTS, [flaw])]
    return [_line(value, fields, f"{PRODUCTS}.{index}") for index, value in enumerate(found[1])]


def line_of(fields: Fields) -> Line:
    """The one product that a call is about: its fields stand among the properties. Version 1 of the
    specification calls its name `id`."""
    sku = fields.required("product_id", fields.id("sku", "product_id", "id"))
    price = fields.amount("price")
    quantity = _quantity(fields)
    return _priced({"sku": sku} | _described(fields), price, quantity)


def _line(value: Any, fields: Fields, name: str) -> Line:
    if not isinstance(value, dict):
        return Line({}, None, name, [Flaw(fields.at(name), "must be an object", "invalid_value")])
    flaws: list[Flaw] = []
    return line_of(Fields(value, fields.at(name), flaws))._replace(path=name, flaws=flaws)


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
