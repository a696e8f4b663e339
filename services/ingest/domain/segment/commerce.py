"""E-commerce events as events of ours: orders, refunds, carts, products, reviews, messages."""

from collections.abc import Callable
from decimal import ROUND_HALF_EVEN
from functools import partial

from services.ingest.domain.segment.calls import Call, Draft
from services.ingest.domain.segment.context import page_of
from services.ingest.domain.segment.money import (
    PRODUCTS,
    Line,
    discount_of,
    kept,
    line_of,
    lines_of,
    worth_of,
)
from services.ingest.domain.segment.values import (
    EXACT,
    Fields,
    Object,
    amount_of,
    spelled,
)

Build = Callable[[Call, str], Draft | None]
"""Makes the event of a call, given our currency where the call names none; None when the call lacks
what the event is about, and is kept as one of the shop's own making."""

_NAME_CHARS_MAX = 200
_LINE_CHARS_MAX = 1_000
_TEXT_CHARS_MAX = 20_000
_ITEMS = {"items": PRODUCTS}


def order_completed(call: Call, currency: str) -> Draft:
    """An order counts once per `order_id`, whatever its `messageId`."""
    fields = call.properties
    flaws = len(fields.flaws)
    told = lines_of(fields)
    worth = worth_of(fields, told)
    lines = kept(fields, told, worth)
    if worth is None and len(fields.flaws) == flaws:
        fields.required("revenue", None)
    discount = discount_of(fields, worth)
    data = {
        "order_id": fields.required("order_id", fields.id("order_id")),
        "total": spelled(worth[1]) if worth else None,
        "currency": _currency(fields, currency),
        "items": _items(lines),
        "discount": spelled(discount) if discount is not None else None,
        "coupon": fields.text(_NAME_CHARS_MAX, "coupon"),
        "channel": fields.text(_NAME_CHARS_MAX, "channel", "affiliation"),
        "referral_code": fields.text(_NAME_CHARS_MAX, "referral_code"),
    }
    origins = _places(told, lines) | {"total": worth[0] if worth else "revenue"}
    return _draft("order.completed", data, origins)


def order_refunded(call: Call, currency: str) -> Draft:
    """Without any amount the whole order was refunded, which for us is its cancellation."""
    fields = call.properties
    order_id = fields.required("order_id", fields.id("order_id"))
    flaws = len(fields.flaws)
    told = lines_of(fields)
    worth = worth_of(fields, told, "amount")
    lines = kept(fields, told, worth)
    if worth is None and len(fields.flaws) == flaws:
        if not lines:
            return _draft("order.cancelled", {"order_id": order_id, "reason": "refunded in full"})
        fields.required("total", None)
    refund_id = fields.id("refund_id") or call.id
    data = {
        "order_id": order_id,
        "refund_id": fields.required("refund_id", refund_id),
        "amount": spelled(worth[1]) if worth else None,
        "currency": _currency(fields, currency),
        "items": _items(lines) if lines else None,
    }
    origins = _places(told, lines) | {"amount": worth[0] if worth else "total"}
    return _draft("order.refunded", data, origins)


def order_cancelled(call: Call, _currency_code: str) -> Draft:
    fields = call.properties
    data = {
        "order_id": fields.required("order_id", fields.id("order_id")),
        "reason": fields.text(_LINE_CHARS_MAX, "reason"),
    }
    return _draft("order.cancelled", data)


def cart_viewed(call: Call, currency: str) -> Draft:
    """What is in the cart, as a whole."""
    return _cart("cart.updated", call, lines_of(call.properties), currency)


def checkout_started(call: Call, currency: str) -> Draft:
    return _cart("checkout.started", call, lines_of(call.properties), currency)


def product_added(call: Call, currency: str) -> Draft:
    """What came into the cart: the call does not tell what else is in it."""
    return _cart("cart.updated", call, [line_of(call.properties)], currency, single=True)


def product_viewed(call: Call, _currency_code: str) -> Draft:
    fields = call.properties
    data = {
        "sku": fields.id("sku", "product_id"),
        "category": fields.text(_NAME_CHARS_MAX, "category"),
        "url": fields.text(_LINE_CHARS_MAX, "url") or page_of(call),
    }
    return _draft("product.viewed", data, {"sku": "product_id"})


def product_reviewed(call: Call, _currency_code: str) -> Draft | None:
    """Ratings are texts there; half a star goes to the even one."""
    fields = call.properties
    found = fields.found("rating")
    if found is None:
        return None
    rating = amount_of(found[1])
    if rating is None:
        fields.flaw("rating", "must be a number from 1 to 5", "invalid_value")
    data = {
        "rating": int(rating.to_integral_value(ROUND_HALF_EVEN, EXACT)) if rating else 0,
        "text": fields.text(_TEXT_CHARS_MAX, "review_body", "text"),
        "sku": fields.id("sku", "product_id"),
    }
    return _draft("review.submitted", data, {"sku": "product_id"})


def shared(call: Call, _currency_code: str) -> Draft:
    """Products and carts that were shared; the recipient is nobody's business here."""
    fields = call.properties
    data = {
        "network": fields.text(_NAME_CHARS_MAX, "share_via"),
        "kind": "share",
        "text": fields.text(_TEXT_CHARS_MAX, "share_message"),
    }
    return _draft("social.engaged", data)


def message(kind: str, channel: str) -> Build:
    """What became of a message that somebody else sent; its name is the message's, else the
    campaign's, else the call's."""
    return partial(_message, kind=kind, channel=channel)


def _message(call: Call, _currency_code: str, *, kind: str, channel: str) -> Draft:
    fields = call.properties
    named = fields.id("email_id", "message_id", "notification_id", "campaign_id") or call.id
    data = {
        "message_id": fields.required("email_id", named),
        "channel": channel,
        "reason": fields.text(_LINE_CHARS_MAX, "reason"),
    }
    return _draft(kind, data, {"message_id": "email_id"})


def _cart(
    kind: str, call: Call, lines: list[Line], currency: str, *, single: bool = False
) -> Draft:
    """A visitor without a cart id has one cart, named after the visitor."""
    fields = call.properties
    cart_id = fields.id("cart_id", "checkout_id", "order_id")
    told = lines
    worth = None if single else worth_of(fields, lines, "value")
    lines = lines if single else kept(fields, lines, worth)
    data = {
        "cart_id": cart_id or call.anonymous_id or call.customer_id,
        "items": _items(lines),
        "total": spelled(worth[1]) if worth else None,
        "currency": _code(fields, currency) if worth else None,
    }
    origins = {"items.0": ""} if single else _places(told, lines)
    return _draft(kind, data, origins | {"total": worth[0] if worth else "value"})


def _places(told: list[Line], lines: list[Line]) -> dict[str, str]:
    """Where the items come from; lines that were left out move those behind them."""
    if len(told) == len(lines):
        return _ITEMS
    return _ITEMS | {f"items.{place}": line.path for place, line in enumerate(lines)}


def _items(lines: list[Line]) -> list[Object]:
    return [line.item for line in lines]


def _currency(fields: Fields, currency: str) -> str:
    return fields.required("currency", _code(fields, currency))


def _code(fields: Fields, currency: str) -> str | None:
    code = fields.id("currency")
    return code.strip().upper() if code is not None else currency or None


def _draft(kind: str, data: Object, origins: dict[str, str] | None = None) -> Draft:
    told = {name: value for name, value in data.items() if value is not None}
    return Draft(kind, told, origins or {})
