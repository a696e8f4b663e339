"""What others ask of scoring: pictures of customers, segments, thresholds, models."""

import json
from datetime import datetime
from typing import Annotated, Any, Literal

import asyncpg
from fastapi import APIRouter, Path, Query
from pydantic import BaseModel

from services.scoring.domain.bands import THRESHOLDS
from services.scoring.domain.models import PRIOR, to_plain
from services.scoring.domain.stages import SEGMENTS
from services.scoring.handlers import reading
from services.scoring.store import assessments, models
from services.scoring.store.lists import Filters, Sort, list_customers, segment_sizes
from shared.events.scoring import Assessment, RiskBand, ValueTier
from shared.ids import CustomerId
from shared.runtime.http import (
    CanAdmin,
    CanRead,
    Ctx,
    Cursor,
    Limit,
    Page,
    Problem,
    decode_cursor,
    encode_cursor,
)

router = APIRouter(prefix="/v1")
SERIAL_MAX = 2**63 - 1
CustomerPath = Annotated[CustomerId, Path(max_length=200, pattern=r"^[^\x00]+$")]
Name = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")]


class HistoryItem(BaseModel):
    """What was published of a customer at one instant."""

    as_of: datetime
    churn_risk: float
    churn_band: RiskBand
    engagement: float
    health: float
    segment: str
    lifecycle: str
    clv_predicted_12m: float
    clv_tier: ValueTier
    model: str
    cause: str


class SegmentItem(BaseModel):
    """A segment, its rule in words, and how many customers are in it."""

    name: str
    description: str
    customers: int


class ThresholdItem(BaseModel):
    """`metric` passes up at `enter`, down at `exit`, and then rests for the dwell time."""

    name: str
    metric: str
    enter: float
    exit: float
    dwell_seconds: int
    announced: bool


class ModelItem(BaseModel):
    """A model or a request for one; times and figures are absent until it is fitted."""

    id: str
    status: Literal["requested", "ready", "failed", "refused"]
    active: bool
    requested_at: datetime | None = None
    fitted_at: datetime | None = None
    window_from: datetime | None = None
    window_to: datetime | None = None
    purchases: int | None = None
    metrics: dict[str, Any] | None = None
    reason: str | None = None


class ModelDetails(ModelItem):
    """With its parameters."""

    parameters: dict[str, Any] | None = None


@router.get("/customers/{customer_id}/assessment")
async def get_assessment(context: Ctx, customer_id: CustomerPath, _: CanRead) -> Assessment:
    """The whole picture of a customer as of now; an absorbed id answers with its survivor's."""
    async with context.read() as session:
        root = await reading.root_of(session.driver, customer_id)
        found = await reading.assessed_now(
            session.driver, context.resources, [root], context.clock.now()
        )
    if not found:
        raise _unknown()
    return found[0]


@router.get("/customers/{customer_id}/assessment/history")
async def get_history(
    context: Ctx, customer_id: CustomerPath, _: CanRead, limit: Limit = 50, cursor: Cursor = None
) -> Page[HistoryItem]:
    """What was published of a customer, the latest first."""
    before = decode_cursor(cursor, 1)[0] if cursor else SERIAL_MAX
    async with context.read() as session:
        root = await reading.root_of(session.driver, customer_id)
        rows = await assessments.history(session.driver, root, _number(before), limit + 1)
        known = (
            rows or cursor or await assessments.load_current(session.driver, [root], locked=False)
        )
    if not known:
        raise _unknown()
    more = len(rows) > limit
    items = [HistoryItem(**{k: v for k, v in row.items() if k != "serial"}) for row in rows[:limit]]
    return Page(items=items, next_cursor=encode_cursor(rows[limit - 1]["serial"]) if more else None)


@router.get("/customers")
async def get_customers(  # noqa: PLR0917 — one parameter a filter
    context: Ctx,
    _: CanRead,
    segment: Name = None,
    band: RiskBand | None = None,
    lifecycle: Name = None,
    clv_tier: ValueTier | None = None,
    sort: Sort = "customer_id",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Assessment]:
    """Customers as of now, found and sorted by what was last published of them.

    `sort` is customer_id, churn_risk or clv; the latter two begin with the highest.
    """
    filters = Filters(segment, band, lifecycle, clv_tier)
    position = decode_cursor(cursor, 2) if cursor else None
    async with context.read() as session:
        rows = await list_customers(session.driver, filters, sort, position, limit + 1)
        customers = [customer for customer, _ in rows[:limit]]
        items = await reading.assessed_now(
            session.driver, context.resources, customers, context.clock.now()
        )
    more = len(rows) > limit
    last = rows[limit - 1] if more else None
    return Page(items=items, next_cursor=encode_cursor(last[1], last[0]) if last else None)


@router.get("/segments")
async def get_segments(context: Ctx, _: CanRead) -> Page[SegmentItem]:
    """The segments and their sizes, all on one page."""
    async with context.read() as session:
        sizes = await segment_sizes(session.driver)
    items = [
        SegmentItem(name=one.name, description=one.description, customers=sizes.get(one.name, 0))
        for one in SEGMENTS
    ]
    return Page(items=items)


@router.get("/thresholds")
async def get_thresholds(_: CanRead) -> Page[ThresholdItem]:
    """The thresholds in force, all on one page."""
    items = [
        ThresholdItem(
            name=one.name,
            metric=one.metric,
            enter=one.enter,
            exit=one.exit,
            dwell_seconds=one.dwell_seconds,
            announced=one.announced,
        )
        for one in THRESHOLDS
    ]
    return Page(items=items)


@router.get("/models")
async def get_models(
    context: Ctx, _: CanRead, limit: Limit = 50, cursor: Cursor = None
) -> Page[ModelItem]:
    """Models and requests, the newest first; the prior, which is always there, ends the list."""
    before = _number(decode_cursor(cursor, 1)[0] if cursor else SERIAL_MAX)
    async with context.read() as session:
        rows = await models.page(session.driver, before, limit + 1)
        prior = await models.active_id(session.driver) is None
    more = len(rows) > limit
    items = [ModelItem(**_model(row)) for row in rows[:limit]]
    if not more:
        items.append(ModelItem(id=PRIOR.name, status="ready", active=prior))
    return Page(items=items, next_cursor=encode_cursor(rows[limit - 1]["id"]) if more else None)


@router.get("/models/{model_id}")
async def get_model(
    context: Ctx, model_id: Annotated[str, Path(max_length=40)], _: CanRead
) -> ModelDetails:
    """One model with its parameters and figures."""
    async with context.read() as session:
        if model_id == PRIOR.name:
            active = await models.active_id(session.driver) is None
            return ModelDetails(
                id=PRIOR.name, status="ready", active=active, parameters=to_plain(PRIOR)
            )
        row = await models.get(session.driver, _model_number(model_id))
    if row is None:
        raise Problem(404, "there is no such model")
    parameters = json.loads(row["parameters"]) if row["parameters"] else None
    return ModelDetails(**_model(row), parameters=parameters)


@router.post("/models/train", status_code=202)
async def train(context: Ctx, _: CanAdmin) -> ModelItem:
    """Asks for a fit on the shop's history; it becomes active when it is ready."""
    if not context.settings.fit:
        raise Problem(409, "fitting is switched off (SCORING_FIT=off)")
    async with context.transaction() as tx:
        number = await models.request(tx.driver, context.clock.now())
        row = await models.get(tx.driver, number)
    assert row is not None, "a request was written and is not there"
    return ModelItem(**_model(row))


@router.post("/models/{model_id}/activate")
async def activate(
    context: Ctx, model_id: Annotated[str, Path(max_length=40)], _: CanAdmin
) -> ModelItem:
    """Puts a fitted model in force; every customer is then assessed anew."""
    number = _model_number(model_id)
    async with context.transaction() as tx:
        row = await models.get(tx.driver, number)
        if row is None:
            raise Problem(404, "there is no such model")
        if row["status"] != "ready":
            raise Problem(409, f"this model is {row['status']}")
        await models.activate(tx.driver, number)
        row = await models.get(tx.driver, number)
    assert row is not None, "a model went while it was activated"
    return ModelItem(**_model(row))


def _model(row: asyncpg.Record) -> dict[str, Any]:
    return {
        "id": f"mbg-nbd-{row['id']}",
        "metrics": json.loads(row["metrics"]) if row["metrics"] else None,
        **{
            name: row[name]
            for name in (
                "status",
                "active",
                "requested_at",
                "fitted_at",
                "window_from",
                "window_to",
                "purchases",
                "reason",
            )
        },
    }


def _model_number(model_id: str) -> int:
    """The number in a model's name; another name is nobody's."""
    digits = model_id.removeprefix("mbg-nbd-")
    if digits.isascii() and digits.isdigit() and int(digits) <= SERIAL_MAX:
        return int(digits)
    raise Problem(404, "there is no such model")


def _number(value: object) -> int:
    if type(value) is int and 0 <= value <= SERIAL_MAX:
        return value
    raise Problem(422, "the cursor is not one of ours")


def _unknown() -> Problem:
    return Problem(404, "nothing is known of this customer")
