"""What a timeline keeps of an event, and how it tells it in words.

Only what is named here is kept: amounts, ids of things, names of rules. Never traits, addresses of
pages, or text that a person wrote.
"""

from collections.abc import Mapping
from decimal import Decimal
from operator import attrgetter
from string import Formatter
from typing import Any

from shared.events.envelope import Event

Details = dict[str, str | int | float]

_MONEY = ("amount", "currency")
_SUBSCRIPTION = ("subscription_id", "plan", *_MONEY, "period_months")
_CART = ("total", "currency")
_VISIT = ("sku", "category", "feature")
_TICKET = ("ticket_id", "channel")
_MESSAGE = ("channel", "message_id", "machine")
_INTERVENTION = ("intervention_id", "journey", "step", "channel", "offer", "rule")
_POINTS = ("points", "balance", "rule", "order_id")
_CHANGE = ("previous", "current")
_CHALLENGE = ("challenge", "progress", "goal")
_REWARD = ("reward", "points")

# The fields of `data` to keep, by type or by what stands before its last dot.
KEPT: Mapping[str, tuple[str, ...]] = {
    "order.completed": ("order_id", "total", "currency"),
    "order.refunded": ("order_id", "refund_id", *_MONEY),
    "order.cancelled": ("order_id",),
    "payment.failed": _MONEY,
    "subscription": _SUBSCRIPTION,
    "cart": _CART,
    "checkout": _CART,
    "ticket.resolved": ("ticket_id", "satisfaction"),
    "ticket": _TICKET,
    "session": _VISIT,
    "page": _VISIT,
    "product": _VISIT,
    "feature": _VISIT,
    "message": _MESSAGE,
    "review.submitted": ("rating", "sku"),
    "social.engaged": ("network", "kind"),
    "community.posted": ("network", "kind"),
    "survey.answered": ("survey", "score"),
    "customer.merged": ("survivor_id",),
    "customer.unmerged": ("survivor_id",),
    "assessment.updated": ("churn.risk", "churn.band", "segment", "lifecycle", "clv.tier"),
    "threshold.crossed": ("threshold", "metric", "direction", "value", "level"),
    "segment.changed": _CHANGE,
    "lifecycle.changed": _CHANGE,
    "intervention": _INTERVENTION,
    "journey": ("journey",),
    "task": ("task_id", "intervention_id", "outcome"),
    "points": _POINTS,
    "tier.changed": _CHANGE,
    "badge.earned": ("badge",),
    "challenge": _CHALLENGE,
    "reward": _REWARD,
}

# The first sentence whose fields are all known is said; without one, the type in plain words.
TITLES: Mapping[str, tuple[str, ...]] = {
    "order.completed": ("Order {order_id} completed: {total} {currency}",),
    "order.refunded": ("{amount} {currency} of order {order_id} refunded",),
    "order.cancelled": ("Order {order_id} cancelled",),
    "payment.failed": ("Payment of {amount} {currency} failed",),
    "subscription.started": ("Subscription to {plan} started: {amount} {currency}",),
    "subscription.renewed": ("Subscription to {plan} renewed: {amount} {currency}",),
    "subscription.changed": ("Subscription changed to {plan}: {amount} {currency}",),
    "subscription.cancelled": ("Subscription to {plan} cancelled",),
    "cart.updated": ("Cart updated: {total} {currency}",),
    "checkout.started": ("Checkout started: {total} {currency}",),
    "ticket.opened": ("Asked for help by {channel} (ticket {ticket_id})",),
    "ticket.replied": ("Wrote again by {channel} (ticket {ticket_id})",),
    "ticket.resolved": (
        "Ticket {ticket_id} resolved, satisfaction {satisfaction} of 5",
        "Ticket {ticket_id} resolved",
    ),
    "session.started": ("Visited the shop",),
    "page.viewed": ("Looked at a page about {category}", "Looked at a page"),
    "product.viewed": ("Looked at {sku}", "Looked at a product"),
    "feature.used": ("Used {feature}", "Used a feature"),
    "message.delivered": ("Message delivered by {channel}",),
    "message.opened": ("Message opened by {channel}",),
    "message.clicked": ("Followed a link in a message by {channel}",),
    "message.bounced": ("Message by {channel} came back",),
    "message.complained": ("Marked a message by {channel} as unwanted",),
    "message.unsubscribed": ("Left the list for {channel}",),
    "review.submitted": ("Gave {rating} of 5 stars to {sku}", "Gave {rating} of 5 stars"),
    "social.engaged": ("Engaged on {network}", "Engaged on a social network"),
    "community.posted": ("Posted in the community",),
    "survey.answered": ("Answered a survey ({survey}): {score}",),
    "referral.made": ("Recommended the shop to a friend",),
    "customer.updated": ("Profile updated",),
    "customer.merged": ("Recognised as {survivor_id}",),
    "customer.unmerged": ("Told apart from {survivor_id} again",),
    "assessment.updated": (
        "Churn risk {risk:.0%} ({band}), segment {segment}, lifecycle {lifecycle}",
    ),
    "threshold.crossed": ("{threshold} went {direction} through {level:g}: now {value:.3g}",),
    "segment.changed": ("Moved from segment {previous} to {current}", "Entered segment {current}"),
    "lifecycle.changed": (
        "Moved from stage {previous} to {current}",
        "Entered stage {current}",
    ),
    "intervention.planned": ("Planned: {channel} of journey {journey}",),
    "intervention.approved": ("Approved by a person: {channel} of journey {journey}",),
    "intervention.sent": ("Sent: {channel} of journey {journey}",),
    "intervention.failed": ("Could not be sent: {channel} of journey {journey}",),
    "intervention.suppressed": (
        "Held back by {rule}: {channel} of journey {journey}",
        "Held back: {channel} of journey {journey}",
    ),
    "intervention.dismissed": ("Dismissed by a person: {channel} of journey {journey}",),
    "intervention.converted": ("Did what journey {journey} was for",),
    "journey.entered": ("Entered journey {journey}",),
    "journey.left": ("Left journey {journey}",),
    "task.created": ("Task given to a person",),
    "task.done": ("Task done: {outcome}", "Task done"),
    "points.pending": ("{points} points pending",),
    "points.awarded": (
        "{points} points awarded for order {order_id}",
        "{points} points awarded by {rule}",
        "{points} points awarded",
    ),
    "points.reversed": (
        "{points} points taken back for order {order_id}",
        "{points} points taken back",
    ),
    "points.redeemed": ("{points} points redeemed",),
    "points.released": ("{points} reserved points given back",),
    "points.expired": ("{points} points expired",),
    "tier.changed": ("Moved from {previous} to {current}", "Became {current}"),
    "badge.earned": ("Earned the badge {badge}",),
    "challenge.progressed": ("{progress:g} of {goal:g} in {challenge}",),
    "challenge.completed": ("Completed {challenge}",),
    "reward.redeemed": ("Took {reward} for {points} points",),
    "reward.fulfilled": ("Received {reward}",),
    "referral.completed": ("A recommended friend became a customer",),
}


def details_of(event: Event) -> Details:
    """The few plain values of an event that a timeline keeps."""
    found = {path.rpartition(".")[2]: attrgetter(path)(event.data) for path in kept(event.type)}
    return {name: _plain(value) for name, value in found.items() if value is not None}


def kept(kind: str) -> tuple[str, ...]:
    """The fields of a type's `data` that a timeline keeps."""
    return KEPT.get(kind) or KEPT.get(kind.rpartition(".")[0], ())


def _plain(value: Any) -> str | int | float:
    return format(value, "f") if isinstance(value, Decimal) else value


def title(kind: str, details: Mapping[str, Any]) -> str:
    """An entry in words, such as « Order o-1 completed: 12.99 GBP »."""
    shown = {**details, "points": abs(details["points"])} if "points" in details else details
    for sentence in TITLES.get(kind, ()):
        if all(name is None or name in shown for _, name, _, _ in Formatter().parse(sentence)):
            return sentence.format_map(shown)
    return kind.removeprefix("custom.").replace(".", " ").replace("_", " ").capitalize()
