"""`GET /v1/metrics/overview`: the state of retention, each figure with its formula."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field

from services.insights.domain import overview as formula
from services.insights.domain import people
from services.insights.domain.period import NotAPeriod, period
from services.insights.store import overview as store
from shared.money import Money
from shared.runtime.http import CanRead, Ctx, Problem

router = APIRouter(tags=["metrics"])


def _written_out(value: Any) -> Any:
    """pydantic would read "20240101" as seconds since 1970."""
    if isinstance(value, str) and value[4:5] != "-":
        raise ValueError("a day is written 2026-03-02, an instant 2026-03-02T12:00:00Z")
    return value


Day = Annotated[date | AwareDatetime, BeforeValidator(_written_out)]
Rows = Sequence[tuple[people.Group, people.Standing]]
From = Annotated[
    Day | None,
    Query(
        alias="from",
        description="first day, inclusive: a date or an instant, which stands for its UTC day. "
        "Default: 30 days before `to`.",
    ),
]
To = Annotated[
    Day | None,
    Query(
        alias="to",
        description="end, exclusive: a date or an instant; an instant within a UTC day includes "
        "that day. Default: the end of today.",
    ),
]
Segment = Annotated[
    str | None,
    Query(
        max_length=200,
        pattern=r"^[^\x00]*$",
        description="only customers who are in this segment now",
    ),
]


class Span(BaseModel):
    """Whole days in UTC, as they were understood."""

    first: datetime = Field(alias="from", description="inclusive")
    end: datetime = Field(alias="to", description="exclusive")


class Customers(BaseModel):
    known: int = Field(
        description="People of whom anything was heard before `to`. Merged ids are one person; an "
        "erased one goes on counting here, unnamed."
    )
    active: int = Field(
        description="People with at least one doing of their own in the period: an order, visit, "
        "question, answer, click or opening by a person; not a delivery, refund or failed payment."
    )
    new: int = Field(description="People first heard of in the period (earliest event of any id).")


class Revenue(BaseModel):
    """Money of one currency; nothing is converted."""

    currency: str
    orders: int = Field(
        description="Orders placed in the period. An `order_id` counts once per person, with its "
        "earliest event; a cancelled order counts nowhere."
    )
    gross: Decimal = Field(description="Sum of the `total` of those orders.")
    refunded: Decimal = Field(
        description="Sum of refunds made in the period, whenever their order was placed; each "
        "`refund_id` of an order counts once; refunds of cancelled orders do not."
    )
    net: Decimal = Field(description="`gross` − `refunded`.")
    average_order_value: Decimal | None = Field(
        description="`gross` / `orders`, before refunds; null without orders."
    )


class Commerce(BaseModel):
    orders: int = Field(description="Sum of `revenue[].orders`.")
    revenue: list[Revenue]
    buyers: int = Field(description="People with at least one order in the period.")
    repeat_purchase_rate: float | None = Field(
        description="People with at least two orders in the period / people with at least one; "
        "null without buyers."
    )


class Group(BaseModel):
    """Customers of one segment or one stage of the lifecycle."""

    name: str
    customers: int = Field(description="Assessed customers in it now.")
    at_risk: int = Field(description="Those of them in the band high or critical.")
    mean_churn_risk: float = Field(description="Sum of their churn risks / `customers`.")


class Lifetime(BaseModel):
    """Customer lifetime value in one currency."""

    currency: str
    historic: Decimal = Field(description="Sum of what each has spent net, as scoring sees it.")
    predicted_12m: Decimal = Field(description="Sum of what each will spend in 12 months.")


class Retention(BaseModel):
    """As of now, whatever the period: the latest assessment of each person's standing id."""

    assessed: int = Field(description="Customers with an assessment.")
    at_risk: int = Field(description="Those in the band high or critical.")
    mean_churn_risk: float | None = Field(
        description="Sum of churn risks / `assessed`; null when nobody is assessed."
    )
    by_band: dict[str, int] = Field(description="Assessed customers in each band.")
    by_segment: list[Group]
    by_lifecycle: list[Group]
    clv: list[Lifetime]


class Interventions(BaseModel):
    """Events of the period, by their own time."""

    planned: int = Field(description="`intervention.planned` events.")
    approved: int = Field(description="`intervention.approved` events.")
    sent: int = Field(description="`intervention.sent` events.")
    failed: int = Field(description="`intervention.failed` events.")
    suppressed: int = Field(description="`intervention.suppressed` events.")
    suppressed_by_rule: dict[str, int] = Field(
        description="The same by the rule that stopped them: consent, cap, quiet hours, …"
    )
    dismissed: int = Field(description="`intervention.dismissed` events.")
    converted: int = Field(description="`intervention.converted` events.")


class Loyalty(BaseModel):
    """Points of the period's events, without their sign; members as of now."""

    awarded: int = Field(description="Sum of `points` of `points.awarded`.")
    reversed: int = Field(description="Sum of `points` of `points.reversed`.")
    redeemed: int = Field(description="Sum of `points` of `points.redeemed`.")
    released: int = Field(description="Sum of `points` of `points.released`.")
    expired: int = Field(description="Sum of `points` of `points.expired`.")
    members_by_tier: dict[str, int] = Field(
        description="People by the tier that the latest `tier.changed` names."
    )


class Webhooks(BaseModel):
    """What public events tell of deliveries; the segment does not apply."""

    failing: int = Field(description="`delivery.failing` events of the period.")
    exhausted: int = Field(description="`delivery.exhausted` events of the period.")
    recovered: int = Field(description="`delivery.recovered` events of the period.")
    disabled: int = Field(description="`endpoint.disabled` events of the period.")
    endpoints_by_state: dict[str, int] = Field(
        description="Endpoints by the latest event about them (now); one that never failed has "
        "none and is not counted."
    )


class Overview(BaseModel):
    """Flows (orders, interventions, points, deliveries) are of the period; states are of now."""

    period: Span
    segment: str | None
    customers: Customers
    commerce: Commerce
    retention: Retention
    interventions: Interventions
    loyalty: Loyalty
    webhooks: Webhooks


@router.get("/metrics/overview")
async def read_overview(
    context: Ctx,
    _: CanRead,
    first: From = None,
    end: To = None,
    segment: Segment = None,
) -> Overview:
    """The state of retention. Days are UTC; `from` is inclusive, `to` exclusive."""
    settings = context.settings
    try:
        span = period(
            first,
            end,
            context.clock.now(),
            days_default=settings.overview_days_default,
            days_max=settings.overview_days_max,
        )
    except NotAPeriod as refused:
        raise Problem(
            422, str(refused), errors=[{"path": "from", "message": str(refused)}]
        ) from None
    async with context.read() as session:
        found = await store.overview(session.driver, span, segment)
    return Overview(
        period=Span.model_validate({"from": span.starts_at, "to": span.ends_at}),
        segment=segment,
        customers=Customers(known=found.known, active=found.active, new=found.fresh),
        commerce=_commerce(found),
        retention=_retention(found.standings),
        interventions=_interventions(found.tallies),
        loyalty=_loyalty(found),
        webhooks=_webhooks(found),
    )


def _commerce(found: store.Overview) -> Commerce:
    return Commerce(
        orders=sum(one.orders for one in found.sales),
        revenue=[_revenue(one) for one in found.sales],
        buyers=found.buyers,
        repeat_purchase_rate=formula.share(found.repeating, found.buyers),
    )


def _revenue(sales: store.Sales) -> Revenue:
    gross = Money(sales.total, sales.currency)
    refunded = Money(sales.refunded, sales.currency)
    return Revenue(
        currency=sales.currency,
        orders=sales.orders,
        gross=gross.rounded().amount,
        refunded=refunded.rounded().amount,
        net=(gross - refunded).rounded().amount,
        average_order_value=formula.average(sales.total, sales.orders, sales.currency),
    )


def _retention(standings: Mapping[people.Group, people.Standing]) -> Retention:
    rows = sorted(standings.items())
    assessed, risk = _total(rows)
    return Retention(
        assessed=assessed,
        at_risk=_at_risk(rows),
        mean_churn_risk=formula.mean(risk, assessed),
        by_band={
            band: sum(one.people for group, one in rows if group.band == band)
            for band in formula.BANDS
        },
        by_segment=_groups(rows, lambda group: group.segment),
        by_lifecycle=_groups(rows, lambda group: group.lifecycle),
        clv=[
            _lifetime(currency, [one for group, one in rows if group.currency == currency])
            for currency in sorted({group.currency for group, _ in rows})
        ],
    )


def _total(rows: Rows) -> tuple[int, float]:
    return sum(one.people for _, one in rows), float(sum(one.risk for _, one in rows))


def _at_risk(rows: Rows) -> int:
    return sum(one.people for group, one in rows if group.band in formula.AT_RISK)


def _groups(rows: Rows, name_of: Callable[[people.Group], str]) -> list[Group]:
    groups = []
    for name in sorted({name_of(group) for group, _ in rows}):
        named = [row for row in rows if name_of(row[0]) == name]
        customers, risk = _total(named)
        groups.append(
            Group(
                name=name,
                customers=customers,
                at_risk=_at_risk(named),
                mean_churn_risk=risk / customers,
            )
        )
    return groups


def _lifetime(currency: str, rows: list[people.Standing]) -> Lifetime:
    return Lifetime(
        currency=currency,
        historic=_sum((row.clv_historic for row in rows), currency),
        predicted_12m=_sum((row.clv_predicted for row in rows), currency),
    )


def _sum(amounts: Iterable[Decimal], currency: str) -> Decimal:
    return Money(sum(amounts, Decimal(0)), currency).rounded().amount


def _interventions(tallies: Iterable[tuple[str, str, int, int]]) -> Interventions:
    rows = [row for row in tallies if row[0].startswith("intervention.")]
    counts = dict.fromkeys(Interventions.model_fields.keys() - {"suppressed_by_rule"}, 0)
    for kind, _, events, _ in rows:
        counts[kind.removeprefix("intervention.")] += events
    by_rule = {rule: events for kind, rule, events, _ in rows if kind.endswith(".suppressed")}
    return Interventions(**counts, suppressed_by_rule=by_rule)


def _loyalty(found: store.Overview) -> Loyalty:
    points = {kind: moved for kind, _, _, moved in found.tallies}
    return Loyalty(
        awarded=points.get("points.awarded", 0),
        reversed=points.get("points.reversed", 0),
        redeemed=points.get("points.redeemed", 0),
        released=points.get("points.released", 0),
        expired=points.get("points.expired", 0),
        members_by_tier=found.tiers,
    )


def _webhooks(found: store.Overview) -> Webhooks:
    counted = found.operations
    return Webhooks(
        failing=counted.get("delivery.failing", 0),
        exhausted=counted.get("delivery.exhausted", 0),
        recovered=counted.get("delivery.recovered", 0),
        disabled=counted.get("endpoint.disabled", 0),
        endpoints_by_state={
            kind.rpartition(".")[2]: endpoints for kind, endpoints in found.endpoints.items()
        },
    )
