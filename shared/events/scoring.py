"""What scoring tells: assessments, and the moments when one matters."""

from typing import Literal

from pydantic import Field

from shared.events.envelope import (
    Currency,
    CustomerName,
    Data,
    Event,
    Finite,
    Instant,
    Line,
    Name,
    Plain,
    Probability,
    Score,
    SignedAmount,
)

RiskBand = Literal["low", "medium", "high", "critical"]
ValueTier = Literal["low", "medium", "high"]


class Driver(Data):
    """One reason of a score: the signal, its value, its signed contribution, and words."""

    signal: Name
    value: Plain = None
    contribution: Finite
    text: Line


class Churn(Data):
    """`risk` is the probability of no purchase within `horizon_days`."""

    risk: Probability
    band: RiskBand
    horizon_days: int
    drivers: tuple[Driver, ...] = ()


class Engagement(Data):
    score: Score
    trend: Finite
    components: dict[Name, Finite] = Field(default_factory=dict)


class Health(Data):
    score: Score
    band: Literal["poor", "fair", "good"]
    components: dict[Name, Finite | None] = Field(default_factory=dict)


class Rfm(Data):
    """Recency in days, number of orders, net spend; `r`, `f`, `m` are quintiles 1 to 5."""

    recency_days: Finite | None = None
    frequency: int
    monetary: SignedAmount
    r: int
    f: int
    m: int
    cell: Name


class Clv(Data):
    """Customer lifetime value in `currency`; `interval` is the central 80 %."""

    historic: SignedAmount
    predicted_12m: SignedAmount
    interval: tuple[SignedAmount, SignedAmount]
    tier: ValueTier
    currency: Currency


class NextOrder(Data):
    expected_at: Instant | None = None
    probability_30d: Probability


class Sentiment(Data):
    """Mean of the texts' sentiment, -1 to 1, and how many there were."""

    score: Finite | None = None
    count: int


class Assessment(Data):
    """The whole picture of one customer at one instant."""

    customer_id: CustomerName
    as_of: Instant
    churn: Churn
    engagement: Engagement
    health: Health
    rfm: Rfm
    clv: Clv
    next_order: NextOrder
    sentiment: Sentiment
    segment: Name
    lifecycle: Name
    model: Name


class AssessmentUpdated(Event):
    """A band, segment or lifecycle changed, or a score moved by a point or more."""

    type: Literal["assessment.updated"] = "assessment.updated"
    data: Assessment


class ThresholdCrossedData(Data):
    """`value` crossed `level` of `threshold`; the rest is the picture at that moment."""

    threshold: Name
    metric: Name
    direction: Literal["up", "down"]
    value: Finite
    level: Finite
    drivers: tuple[Driver, ...] = ()
    churn_risk: Probability
    churn_band: RiskBand
    clv_historic: SignedAmount
    clv_predicted_12m: SignedAmount
    clv_tier: ValueTier
    currency: Currency
    segment: Name
    lifecycle: Name


class ThresholdCrossed(Event):
    """A score went through a level, with hysteresis, so once per crossing."""

    type: Literal["threshold.crossed"] = "threshold.crossed"
    data: ThresholdCrossedData


class ChangedData(Data):
    previous: Name | None = None
    current: Name


class SegmentChanged(Event):
    """A customer moved from one segment to another."""

    type: Literal["segment.changed"] = "segment.changed"
    data: ChangedData


class LifecycleChanged(Event):
    """A customer moved from one stage of the lifecycle to another."""

    type: Literal["lifecycle.changed"] = "lifecycle.changed"
    data: ChangedData


SCORING = (AssessmentUpdated, ThresholdCrossed, SegmentChanged, LifecycleChanged)
