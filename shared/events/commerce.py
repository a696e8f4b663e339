"""Orders, payments, subscriptions and carts, as the shop reports them."""

from typing import Annotated, Literal

from pydantic import Field

from shared.events.envelope import (
    Amount,
    Currency,
    Data,
    Event,
    Instant,
    IntakeData,
    Line,
    Name,
)

Quantity = Annotated[int, Field(ge=0, le=10_000_000)]


class Item(Data):
    """One line of an order, refund or cart."""

    sku: Name
    name: Line | None = None
    category: Line | None = None
    quantity: Quantity
    unit_price: Amount


Items = Annotated[tuple[Item, ...], Field(max_length=2_000)]


class OrderCompletedData(IntakeData):
    order_id: Name
    total: Amount
    currency: Currency
    items: Items = ()
    discount: Amount | None = None
    coupon: Name | None = None
    channel: Name | None = None
    referral_code: Name | None = None


class OrderCompleted(Event):
    """A customer placed and paid an order."""

    type: Literal["order.completed"] = "order.completed"
    data: OrderCompletedData


class OrderRefundedData(IntakeData):
    order_id: Name
    refund_id: Name
    amount: Amount
    currency: Currency
    items: Items | None = None


class OrderRefunded(Event):
    """Money of an order went back, in part or in full."""

    type: Literal["order.refunded"] = "order.refunded"
    data: OrderRefundedData


class OrderCancelledData(IntakeData):
    order_id: Name
    reason: Line | None = None


class OrderCancelled(Event):
    """An order was called off before it was fulfilled."""

    type: Literal["order.cancelled"] = "order.cancelled"
    data: OrderCancelledData


class PaymentFailedData(IntakeData):
    amount: Amount
    currency: Currency
    order_id: Name | None = None
    subscription_id: Name | None = None
    reason: Line | None = None


class PaymentFailed(Event):
    """A charge was refused."""

    type: Literal["payment.failed"] = "payment.failed"
    data: PaymentFailedData


class SubscriptionData(IntakeData):
    subscription_id: Name
    plan: Name
    amount: Amount
    currency: Currency
    period_months: Annotated[int, Field(ge=1, le=120)]
    renews_at: Instant | None = None


class SubscriptionStarted(Event):
    """A subscription began."""

    type: Literal["subscription.started"] = "subscription.started"
    data: SubscriptionData


class SubscriptionRenewed(Event):
    """A subscription was paid for a further period."""

    type: Literal["subscription.renewed"] = "subscription.renewed"
    data: SubscriptionData


class SubscriptionChanged(Event):
    """A subscription changed its plan, amount or period."""

    type: Literal["subscription.changed"] = "subscription.changed"
    data: SubscriptionData


class SubscriptionCancelled(Event):
    """A subscription was cancelled."""

    type: Literal["subscription.cancelled"] = "subscription.cancelled"
    data: SubscriptionData


class CartData(IntakeData):
    cart_id: Name
    items: Items
    total: Amount | None = None
    currency: Currency | None = None


class CartUpdated(Event):
    """The content of a cart changed."""

    type: Literal["cart.updated"] = "cart.updated"
    data: CartData


class CheckoutStarted(Event):
    """A customer went to the checkout."""

    type: Literal["checkout.started"] = "checkout.started"
    data: CartData


COMMERCE = (
    OrderCompleted,
    OrderRefunded,
    OrderCancelled,
    PaymentFailed,
    SubscriptionStarted,
    SubscriptionRenewed,
    SubscriptionChanged,
    SubscriptionCancelled,
    CartUpdated,
    CheckoutStarted,
)
