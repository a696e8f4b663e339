"""Which event of ours each known event is: the e-commerce, e-mail and push specifications.

Those that have no counterpart are kept under a name of their own, however they are spelled.
Source: Segment's e-commerce specification, version 2 (and `Completed Order` of version 1), its
e-mail specification, and the notifications of its mobile one.
"""

from functools import lru_cache
from typing import NamedTuple

from services.ingest.domain.segment import commerce, naming
from services.ingest.domain.segment.commerce import Build

CUSTOM = "custom."


class Known(NamedTuple):
    """A known event: how its specification spells it, our type, and what makes one of it."""

    name: str
    type: str
    build: Build | None


def _own(name: str) -> Known:
    return Known(name, CUSTOM + naming.safe(name), None)


def _message(name: str, kind: str, channel: str) -> Known:
    return Known(name, kind, commerce.message(kind, channel))


KNOWN: tuple[Known, ...] = (
    Known("Order Completed", "order.completed", commerce.order_completed),
    Known("Completed Order", "order.completed", commerce.order_completed),
    Known("Order Refunded", "order.refunded", commerce.order_refunded),
    Known("Order Cancelled", "order.cancelled", commerce.order_cancelled),
    _own("Order Updated"),
    Known("Checkout Started", "checkout.started", commerce.checkout_started),
    _own("Checkout Step Viewed"),
    _own("Checkout Step Completed"),
    _own("Payment Info Entered"),
    Known("Cart Viewed", "cart.updated", commerce.cart_viewed),
    Known("Product Added", "cart.updated", commerce.product_added),
    Known("Wishlist Product Added to Cart", "cart.updated", commerce.product_added),
    _own("Product Removed"),
    Known("Product Viewed", "product.viewed", commerce.product_viewed),
    _own("Product Clicked"),
    _own("Products Searched"),
    _own("Product List Viewed"),
    _own("Product List Filtered"),
    _own("Promotion Viewed"),
    _own("Promotion Clicked"),
    _own("Coupon Entered"),
    _own("Coupon Applied"),
    _own("Coupon Denied"),
    _own("Coupon Removed"),
    _own("Product Added to Wishlist"),
    _own("Product Removed from Wishlist"),
    Known("Product Shared", "social.engaged", commerce.shared),
    Known("Cart Shared", "social.engaged", commerce.shared),
    Known("Product Reviewed", "review.submitted", commerce.product_reviewed),
    _message("Email Delivered", "message.delivered", "email"),
    _message("Email Opened", "message.opened", "email"),
    _message("Email Link Clicked", "message.clicked", "email"),
    _message("Email Bounced", "message.bounced", "email"),
    _message("Email Marked as Spam", "message.complained", "email"),
    _message("Unsubscribed", "message.unsubscribed", "email"),
    _message("Email Unsubscribed", "message.unsubscribed", "email"),
    _message("Push Notification Received", "message.delivered", "push"),
    _message("Push Notification Tapped", "message.clicked", "push"),
    _message("Push Notification Bounced", "message.bounced", "push"),
)
# A shop uses few names, again and again.
_NAMES_KEPT = 1_000
_BY_NAME: dict[str, Known] = {naming.plain(one.name): one for one in KNOWN}


@lru_cache(maxsize=_NAMES_KEPT)
def known(name: str) -> Known | None:
    """The known event of a name, whatever its case and separators."""
    return _BY_NAME.get(naming.plain(name))
