"""What is kept of a customer: a commutative group of integers, folded from events in any order.

Everything is integers (counts, sums, minor units, days, scaled decayed counters), so any order and
any grouping of the events, late ones included, ends in the same bytes, and merging two customers is
`combine`. Ids of events are made unique by the inbox; orders besides by their own key.

The counting unit of purchases is the distinct UTC day with an order: several orders of one day are
one purchase occasion, as in the literature on repeat buying (Fader, Hardie, Lee 2005). The days
themselves are kept, because gaps between purchases cannot be summed in any order (a late order
splits one); they are bounded by the length of a shop's history.
"""

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from enum import IntEnum
from operator import add
from types import MappingProxyType
from typing import Any, NamedTuple

from services.scoring.domain import decay
from services.scoring.domain.orders import UNKNOWN, Order, join, order_of
from shared.events import campaigns, commerce, engagement, support
from shared.events.envelope import Event

SENTIMENT_SCALE = 10_000
CSAT_MIN, CSAT_MAX = 1, 5


class Count(IntEnum):
    """Positions in `CustomerState.counts`. New ones go to the end: stored states are shorter."""

    VISITS = 0
    VIEWS = 1
    CARTS = 2
    CHECKOUTS = 3
    CUSTOM = 4
    TICKETS_OPENED = 5
    TICKETS_REPLIED = 6
    TICKETS_RESOLVED = 7
    SATISFACTIONS = 8
    SATISFACTION_SUM = 9
    SENTIMENTS = 10
    SENTIMENT_SUM = 11
    DELIVERED = 12
    OPENED = 13
    CLICKED = 14
    BOUNCED = 15
    COMPLAINED = 16
    UNSUBSCRIBED = 17
    REVIEWS = 18
    STARS_SUM = 19
    SOCIAL = 20
    REFERRALS = 21
    NPS = 22
    NPS_SUM = 23
    CSAT = 24
    CSAT_SUM = 25
    PAYMENTS_FAILED = 26
    SUBSCRIBED = 27
    RENEWED = 28
    SUBSCRIPTION_CHANGED = 29
    UNSUBSCRIBED_PLAN = 30
    INTERVENTIONS = 31


class Warmth(IntEnum):
    """Kinds of engagement that are also counted with decay, at each half-life."""

    VISIT = 0
    RESPONSE = 1
    VOICE = 2


HALVES = len(decay.HALF_LIVES_DAYS)
NO_COUNTS = (0,) * len(Count)
NO_WARMTH = (0,) * (len(Warmth) * HALVES)


class Money(NamedTuple):
    """Orders, and minor units spent and refunded, in one currency."""

    orders: int = 0
    spent: int = 0
    refunded: int = 0


NO_MONEY = Money()
NO_DAYS: Mapping[int, int] = MappingProxyType({})
NO_MONEYS: Mapping[str, Money] = MappingProxyType({})


class CustomerState(NamedTuple):
    """The sum of everything a customer did. `days` and `money` hold no zero entries.

    `days` counts orders per day since 1970; `first_seen` and `last_seen` are seconds since 1970;
    `warmth` holds a decayed counter for each kind and half-life.
    """

    days: Mapping[int, int] = NO_DAYS
    money: Mapping[str, Money] = NO_MONEYS
    counts: tuple[int, ...] = NO_COUNTS
    warmth: tuple[int, ...] = NO_WARMTH
    first_seen: int | None = None
    last_seen: int | None = None


EMPTY = CustomerState()
Orders = MutableMapping[str, Order]


def fold(
    state: CustomerState,
    events: Iterable[Event],
    orders: Orders,
    sentiments: Mapping[tuple[str, str], int] | None = None,
) -> CustomerState:
    """The state after `events`, in any order.

    `orders` holds what is known of the orders they name, by order id, and is brought up to date.
    `sentiments` are the scaled sentiments of texts (-10,000 to 10,000) by source and id.
    """
    for event in events:
        sentiment = sentiments.get((event.source, event.id)) if sentiments else None
        state = after(state, event, orders, sentiment)
    return state


def after(
    state: CustomerState, event: Event, orders: Orders, sentiment: int | None = None
) -> CustomerState:
    """The state after one event."""
    at = int(event.time.timestamp())
    if type(event) in _ORDERING:
        state = _after_order(state, event, orders)
    counts, warmth = state.counts, state.warmth
    bumps = _counted(event)
    if sentiment is not None:
        bumps = (*bumps, (Count.SENTIMENTS, 1), (Count.SENTIMENT_SUM, sentiment))
    if bumps:
        changed = list(counts)
        for which, amount in bumps:
            changed[which] += amount
        counts = tuple(changed)
    warming = _warming(event)
    if warming is not None:
        warmth = _warmed(warmth, *warming, at)
    return CustomerState(
        state.days,
        state.money,
        counts,
        warmth,
        at if state.first_seen is None else min(at, state.first_seen),
        at if state.last_seen is None else max(at, state.last_seen),
    )


def combine(one: CustomerState, other: CustomerState) -> CustomerState:
    """Both customers as one: commutative, associative, with `EMPTY` as its neutral element."""
    return CustomerState(
        _sum_days(one.days, other.days, 1),
        _sum_money(one.money, other.money, 1),
        tuple(map(add, one.counts, other.counts)),
        tuple(map(add, one.warmth, other.warmth)),
        _either(min, one.first_seen, other.first_seen),
        _either(max, one.last_seen, other.last_seen),
    )


def _either(choose: Callable[[int, int], int], one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return choose(one, other)


def _after_order(state: CustomerState, event: Any, orders: Orders) -> CustomerState:
    order_id = event.data.order_id
    before = orders.get(order_id, UNKNOWN)
    joined = join(before, order_of(event))
    if joined == before:
        return state
    orders[order_id] = joined
    return exchanged(state, before, joined)


def exchanged(state: CustomerState, before: Order, now: Order) -> CustomerState:
    """The state with an order's old share taken out of the sums, and its new share put in."""
    old_days, old_money = _share(before)
    new_days, new_money = _share(now)
    return CustomerState(
        _sum_days(_sum_days(state.days, old_days, -1), new_days, 1),
        _sum_money(_sum_money(state.money, old_money, -1), new_money, 1),
        state.counts,
        state.warmth,
        state.first_seen,
        state.last_seen,
    )


def _share(order: Order) -> tuple[Mapping[int, int], Mapping[str, Money]]:
    """An order's part of `days` and `money`. A cancelled order never happened."""
    if order.cancelled:
        return {}, {}
    money = {
        currency: Money(refunded=order.refunded(currency))
        for currency in {refund.currency for refund in order.refunds}
    }
    if order.at is None:
        return {}, money
    refunded = money.get(order.currency, Money()).refunded
    money[order.currency] = Money(1, order.minor, refunded)
    return {order.at // decay.DAY_SECONDS: 1}, money


def _sum_days(one: Mapping[int, int], other: Mapping[int, int], sign: int) -> Mapping[int, int]:
    if not other:
        return one
    total = dict(one)
    for day, orders in other.items():
        total[day] = total.get(day, 0) + sign * orders
        if not total[day]:
            del total[day]
    return total


def _sum_money(
    one: Mapping[str, Money], other: Mapping[str, Money], sign: int
) -> Mapping[str, Money]:
    if not other:
        return one
    total = dict(one)
    for currency, more in other.items():
        so_far = total.get(currency, NO_MONEY)
        total[currency] = Money(
            so_far.orders + sign * more.orders,
            so_far.spent + sign * more.spent,
            so_far.refunded + sign * more.refunded,
        )
        if total[currency] == NO_MONEY:
            del total[currency]
    return total


def _warmed(warmth: tuple[int, ...], kind: Warmth, weight: int, at: int) -> tuple[int, ...]:
    changed = list(warmth)
    for half, days in enumerate(decay.HALF_LIVES_DAYS):
        changed[kind * HALVES + half] += weight * decay.term(at, days)
    return tuple(changed)


_ORDERING = frozenset({commerce.OrderCompleted, commerce.OrderRefunded, commerce.OrderCancelled})

_ONE: Mapping[type[Event], Count] = {
    engagement.SessionStarted: Count.VISITS,
    engagement.PageViewed: Count.VIEWS,
    engagement.ProductViewed: Count.VIEWS,
    engagement.FeatureUsed: Count.VISITS,
    engagement.CustomEvent: Count.CUSTOM,
    commerce.CartUpdated: Count.CARTS,
    commerce.CheckoutStarted: Count.CHECKOUTS,
    commerce.PaymentFailed: Count.PAYMENTS_FAILED,
    commerce.SubscriptionStarted: Count.SUBSCRIBED,
    commerce.SubscriptionRenewed: Count.RENEWED,
    commerce.SubscriptionChanged: Count.SUBSCRIPTION_CHANGED,
    commerce.SubscriptionCancelled: Count.UNSUBSCRIBED_PLAN,
    support.TicketOpened: Count.TICKETS_OPENED,
    support.TicketReplied: Count.TICKETS_REPLIED,
    engagement.MessageDelivered: Count.DELIVERED,
    engagement.MessageClicked: Count.CLICKED,
    engagement.MessageBounced: Count.BOUNCED,
    engagement.MessageComplained: Count.COMPLAINED,
    engagement.MessageUnsubscribed: Count.UNSUBSCRIBED,
    engagement.SocialEngaged: Count.SOCIAL,
    engagement.CommunityPosted: Count.SOCIAL,
    engagement.ReferralMade: Count.REFERRALS,
    campaigns.InterventionSent: Count.INTERVENTIONS,
}

# Kind, and how much more than a look at a page an event says.
_WARMING: Mapping[type[Event], tuple[Warmth, int]] = {
    engagement.PageViewed: (Warmth.VISIT, 1),
    engagement.ProductViewed: (Warmth.VISIT, 1),
    engagement.FeatureUsed: (Warmth.VISIT, 2),
    engagement.CustomEvent: (Warmth.VISIT, 2),
    engagement.SessionStarted: (Warmth.VISIT, 4),
    commerce.CartUpdated: (Warmth.VISIT, 4),
    commerce.CheckoutStarted: (Warmth.VISIT, 6),
    engagement.MessageOpened: (Warmth.RESPONSE, 1),
    engagement.MessageClicked: (Warmth.RESPONSE, 2),
    engagement.SocialEngaged: (Warmth.VOICE, 1),
    engagement.CommunityPosted: (Warmth.VOICE, 2),
    engagement.SurveyAnswered: (Warmth.VOICE, 1),
    engagement.ReviewSubmitted: (Warmth.VOICE, 2),
    engagement.ReferralMade: (Warmth.VOICE, 3),
}

Bumps = tuple[tuple[Count, int], ...]


def _counted(event: Event) -> Bumps:
    which = _ONE.get(type(event))
    if which is not None:
        return ((which, 1),)
    return _counted_with_sums(event)


def _counted_with_sums(event: Event) -> Bumps:
    match event:
        case support.TicketResolved(data=data):
            stars = data.satisfaction
            given = ((Count.SATISFACTIONS, 1), (Count.SATISFACTION_SUM, stars)) if stars else ()
            return ((Count.TICKETS_RESOLVED, 1), *given)
        case engagement.MessageOpened(data=data):
            return () if data.machine else ((Count.OPENED, 1),)
        case engagement.ReviewSubmitted(data=data):
            return ((Count.REVIEWS, 1), (Count.STARS_SUM, data.rating))
        case engagement.SurveyAnswered(data=data) if data.survey == "nps":
            return ((Count.NPS, 1), (Count.NPS_SUM, data.score))
        case engagement.SurveyAnswered(data=data):
            score = max(CSAT_MIN, min(CSAT_MAX, data.score))
            return ((Count.CSAT, 1), (Count.CSAT_SUM, score))
        case _:
            return ()


def _warming(event: Event) -> tuple[Warmth, int] | None:
    """Opens by machines (prefetching mail programs) say nothing about the customer."""
    if isinstance(event, engagement.MessageOpened) and event.data.machine:
        return None
    return _WARMING.get(type(event))
