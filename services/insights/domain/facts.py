"""What a batch of events adds to the facts: a pure reduction, the same whatever the batches.

Sums add up, first times take the earliest, an order's facts are those of its earliest event, and
current states are those of the latest event (of those of the same time, the last that its topic
tells). So neither the borders of batches nor the order of arrival show in the result, but for the
one order that is promised: that of a customer's events on a topic.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple, TypeVar

from services.insights.domain.details import Details, details_of
from services.insights.domain.identity import Veil, holder, pseudonym_of
from shared.events.campaigns import InterventionSuppressed
from shared.events.commerce import (
    CartUpdated,
    CheckoutStarted,
    OrderCancelled,
    OrderCompleted,
    OrderRefunded,
    SubscriptionChanged,
    SubscriptionRenewed,
    SubscriptionStarted,
)
from shared.events.engagement import (
    IDENTITY,
    CommunityPosted,
    CustomerErased,
    CustomEvent,
    FeatureUsed,
    MessageClicked,
    MessageOpened,
    PageViewed,
    ProductViewed,
    ReferralMade,
    ReviewSubmitted,
    SessionStarted,
    SocialEngaged,
    SurveyAnswered,
)
from shared.events.envelope import Event
from shared.events.loyalty import PointsData, TierChanged
from shared.events.scoring import AssessmentUpdated
from shared.events.support import TicketOpened, TicketReplied
from shared.ids import CustomerId, derived_id

# What a customer does, as opposed to what is done to them or decided about them.
ACTIVITY: tuple[type[Event], ...] = (
    OrderCompleted,
    SubscriptionStarted,
    SubscriptionRenewed,
    SubscriptionChanged,
    CartUpdated,
    CheckoutStarted,
    TicketOpened,
    TicketReplied,
    SessionStarted,
    PageViewed,
    ProductViewed,
    FeatureUsed,
    MessageOpened,
    MessageClicked,
    ReviewSubmitted,
    SocialEngaged,
    CommunityPosted,
    SurveyAnswered,
    ReferralMade,
    CustomEvent,
)


class Fact(NamedTuple):
    """One entry of a timeline; together the first five are its key, and its place in time."""

    customer: CustomerId
    at: datetime
    recorded_at: datetime
    event_id: str
    source: str
    kind: str
    cause: str | None
    details: Details


class TallyKey(NamedTuple):
    """What is counted per day. `rule` is empty but for suppressed interventions and machines."""

    customer: CustomerId
    day: date
    kind: str
    rule: str


@dataclass(slots=True)
class Tally:
    """How many events, how many points they moved, and whether the customer was active by them."""

    events: int = 0
    points: int = 0
    active: bool = False


class Order(NamedTuple):
    at: datetime
    event_id: str
    total: Decimal
    currency: str


class Refund(NamedTuple):
    at: datetime
    event_id: str
    amount: Decimal
    currency: str


class Cancellation(NamedTuple):
    at: datetime
    event_id: str


class Standing(NamedTuple):
    """What scoring last said of a customer."""

    at: datetime
    risk: float
    band: str
    segment: str
    lifecycle: str
    clv_historic: Decimal
    clv_predicted: Decimal
    clv_tier: str
    currency: str


class Tier(NamedTuple):
    """What loyalty last said of a member."""

    at: datetime
    tier: str


class Operation(NamedTuple):
    """What webhooks told about an endpoint."""

    endpoint_id: str
    at: datetime
    event_id: str
    source: str
    kind: str


Key = TypeVar("Key")
Sale = TypeVar("Sale", Order, Refund, Cancellation)
State = TypeVar("State", bound=Standing | Tier | Operation)


@dataclass(slots=True)
class Batch:
    """Everything that some events add, reduced to one value per key."""

    facts: dict[tuple[str, str], Fact] = field(default_factory=dict)
    tallies: dict[TallyKey, Tally] = field(default_factory=dict)
    first_seen: dict[CustomerId, datetime] = field(default_factory=dict)
    orders: dict[tuple[CustomerId, str], Order] = field(default_factory=dict)
    refunds: dict[tuple[CustomerId, str, str], Refund] = field(default_factory=dict)
    cancellations: dict[tuple[CustomerId, str], Cancellation] = field(default_factory=dict)
    standings: dict[CustomerId, Standing] = field(default_factory=dict)
    tiers: dict[CustomerId, Tier] = field(default_factory=dict)


def original(event: Event) -> CustomerId:
    """The id that an event named: facts stay with it, so that an unmerge gives them back."""
    return event.alias or event.subject


def facts_of(events: Iterable[Event], veils: Mapping[bytes, Sequence[Veil]]) -> Batch:
    """Reduces a batch. What an erased customer did before counts for their pseudonym, unnamed."""
    batch = Batch()
    for event in events:
        named = original(event)
        owner = _owner(event, named, veils)
        if owner == named:
            _remember(batch, owner, event)
        _count(batch, owner, event)
        _sell(batch, owner, event, known=owner == named)
    return batch


def _owner(event: Event, named: CustomerId, veils: Mapping[bytes, Sequence[Veil]]) -> CustomerId:
    if isinstance(event, CustomerErased):
        return pseudonym_of(event.data.erasure_id)
    return holder(named, event.time, veils)


def _remember(batch: Batch, owner: CustomerId, event: Event) -> None:
    """What only a customer who is still there has: a timeline and a state of the day."""
    batch.facts[event.source, event.id] = Fact(
        owner,
        event.time,
        event.recordedtime,
        event.id,
        event.source,
        event.type,
        event.cause,
        details_of(event),
    )
    if isinstance(event, AssessmentUpdated):
        _keep_latest(batch.standings, event.subject, _standing(event))
    elif isinstance(event, TierChanged):
        _keep_latest(batch.tiers, event.subject, Tier(event.time, event.data.current))


def _standing(event: AssessmentUpdated) -> Standing:
    seen = event.data
    return Standing(
        event.time,
        seen.churn.risk,
        seen.churn.band,
        seen.segment,
        seen.lifecycle,
        seen.clv.historic,
        seen.clv.predicted_12m,
        seen.clv.tier,
        seen.clv.currency,
    )


def _count(batch: Batch, owner: CustomerId, event: Event) -> None:
    rule = _rule(event)
    points = abs(event.data.points) if isinstance(event.data, PointsData) else 0
    active = isinstance(event, ACTIVITY) and rule != "machine"
    key = TallyKey(owner, event.time.date(), event.type, rule)
    add_tally(batch, key, Tally(1, points, active))
    if not isinstance(event, IDENTITY):
        add_first_seen(batch, owner, event.time)


def _rule(event: Event) -> str:
    """What a count is split by."""
    if isinstance(event, InterventionSuppressed):
        return event.data.rule or "unnamed"
    if isinstance(event, MessageOpened | MessageClicked) and event.data.machine:
        return "machine"
    return ""


def _sell(batch: Batch, owner: CustomerId, event: Event, *, known: bool) -> None:
    if not isinstance(event, OrderCompleted | OrderRefunded | OrderCancelled):
        return
    sold = Batch()
    order_id = event.data.order_id
    if isinstance(event, OrderCompleted):
        order = Order(event.time, event.id, event.data.total, event.data.currency)
        sold.orders[owner, order_id] = order
    elif isinstance(event, OrderRefunded):
        refund = Refund(event.time, event.id, event.data.amount, event.data.currency)
        sold.refunds[owner, order_id, event.data.refund_id] = refund
    else:
        sold.cancellations[owner, order_id] = Cancellation(event.time, event.id)
    add_sales(batch, sold if known else veiled(sold, {owner: owner}))


def latest_of_endpoints(operations: Iterable[Operation]) -> dict[str, Operation]:
    """What was last told of each endpoint."""
    found: dict[str, Operation] = {}
    for one in operations:
        _keep_latest(found, one.endpoint_id, one)
    return found


def add_sales(batch: Batch, sold: Batch) -> None:
    """Takes over another batch's orders, refunds and cancellations; the earliest of each counts."""
    for of_order, order in sold.orders.items():
        _keep_earliest(batch.orders, of_order, order)
    for of_refund, refund in sold.refunds.items():
        _keep_earliest(batch.refunds, of_refund, refund)
    for of_cancellation, cancellation in sold.cancellations.items():
        _keep_earliest(batch.cancellations, of_cancellation, cancellation)


def veiled(taken: Batch, pseudonyms: Mapping[CustomerId, CustomerId]) -> Batch:
    """What erased customers leave: the same sums on the same days, under ids that name nothing."""
    left = Batch()
    for (customer, day, kind, rule), tally in taken.tallies.items():
        add_tally(left, TallyKey(pseudonyms[customer], day, kind, rule), tally)
    for customer, seen_at in taken.first_seen.items():
        add_first_seen(left, pseudonyms[customer], seen_at)
    for (customer, order), placed in taken.orders.items():
        owner = pseudonyms[customer]
        _keep_earliest(left.orders, (owner, _veil(owner, order)), _unnamed(owner, placed))
    for (customer, order, refund), paid in taken.refunds.items():
        owner = pseudonyms[customer]
        key = (owner, _veil(owner, order), _veil(owner, refund))
        _keep_earliest(left.refunds, key, _unnamed(owner, paid))
    for (customer, order), called_off in taken.cancellations.items():
        owner = pseudonyms[customer]
        key_of_order = (owner, _veil(owner, order))
        _keep_earliest(left.cancellations, key_of_order, _unnamed(owner, called_off))
    return left


def _veil(pseudonym: CustomerId, thing: str) -> str:
    return derived_id(pseudonym, thing)


def _unnamed(owner: CustomerId, value: Sale) -> Sale:
    return value._replace(event_id=_veil(owner, value.event_id))


def add_tally(batch: Batch, key: TallyKey, more: Tally) -> None:
    """Adds up counts of one key."""
    tally = batch.tallies.setdefault(key, Tally())
    tally.events += more.events
    tally.points += more.points
    tally.active = tally.active or more.active


def add_first_seen(batch: Batch, customer: CustomerId, seen_at: datetime) -> None:
    """Keeps the earliest time at which a customer was heard of."""
    batch.first_seen[customer] = min(batch.first_seen.get(customer, seen_at), seen_at)


def _keep_earliest(kept: dict[Key, Sale], key: Key, new: Sale) -> None:
    if key not in kept or (new.at, new.event_id) < (kept[key].at, kept[key].event_id):
        kept[key] = new


def _keep_latest(kept: dict[Key, State], key: Key, new: State) -> None:
    """Of the same time the later told: each topic keeps a customer's events in their order."""
    if key not in kept or kept[key].at <= new.at:
        kept[key] = new
