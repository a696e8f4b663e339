"""Redemptions: reserve, then capture or release; or spend at once."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, Field

from services.loyalty.api.members import Points
from services.loyalty.api.parts import CREATED, Id, IdempotencyKey, Refusal, answer_once
from services.loyalty.domain.accounts import Refused
from services.loyalty.domain.redemptions import Redemption
from services.loyalty.handlers import redemptions
from services.loyalty.store import redemptions as store
from shared.events.envelope import Line
from shared.ids import CustomerId
from shared.runtime.db import Transaction
from shared.runtime.http import Body, CanOperate, CanRead, Ctx, Problem
from shared.runtime.service import Context

router = APIRouter(prefix="/v1", tags=["redemptions"])


class RedemptionBody(Body):
    """`immediate` spends at once; otherwise the points are reserved until captured or released."""

    points: Points
    reason: Annotated[Line, Field(min_length=1)] = "redemption"
    immediate: bool = False


class RedemptionView(BaseModel):
    """`release_at` is when a reservation that nobody settles is given back."""

    id: str
    customer_id: str
    points: int
    state: Literal["reserved", "captured", "released"]
    reason: str
    created_at: datetime
    release_at: datetime | None
    settled_at: datetime | None


@router.post(
    "/members/{customer_id}/redemptions", status_code=CREATED, response_model=RedemptionView
)
async def post_redemption(
    customer_id: Id, body: RedemptionBody, context: Ctx, _: CanOperate, key: IdempotencyKey = None
) -> Response:
    """Takes points from the lots that end first; 409 when there are not enough."""
    customer = CustomerId(customer_id)
    reserve = timedelta(seconds=context.settings.reservation_seconds)

    async def work(tx: Transaction, request_id: str) -> BaseModel:
        made = await redemptions.redeem(
            tx,
            customer,
            request_id,
            body.points,
            body.reason,
            reserve=None if body.immediate else reserve,
            now=context.clock.now(),
        )
        if isinstance(made, Refused):
            raise Refusal(made)
        return _view(made)

    return await answer_once(context, "redemption", key, customer, body, work)


@router.get("/redemptions/{redemption_id}")
async def get_redemption(redemption_id: Id, context: Ctx, _: CanRead) -> RedemptionView:
    """A redemption and its state."""
    async with context.read() as session:
        found = await store.read(session.driver, redemption_id)
    if found is None:
        raise _unknown()
    return _view(found)


@router.post("/redemptions/{redemption_id}/capture")
async def post_capture(redemption_id: Id, context: Ctx, _: CanOperate) -> RedemptionView:
    """Spends what was reserved. Again is the same; after a release it is a 409."""
    return await _settle(context, redemption_id, "captured")


@router.post("/redemptions/{redemption_id}/release")
async def post_release(redemption_id: Id, context: Ctx, _: CanOperate) -> RedemptionView:
    """Gives back what was reserved. Again is the same; after a capture it is a 409."""
    return await _settle(context, redemption_id, "released")


async def _settle(
    context: Context, redemption_id: str, to: Literal["captured", "released"]
) -> RedemptionView:
    async with context.transaction() as tx:
        settled = await redemptions.settle(tx, redemption_id, to, now=context.clock.now())
        if settled is None:
            raise _unknown()
        if isinstance(settled, Refused):
            raise Refusal(settled)
    return _view(settled)


def _unknown() -> Problem:
    return Problem(404, "there is no such redemption")


def _view(made: Redemption) -> RedemptionView:
    return RedemptionView(
        id=made.id,
        customer_id=made.customer_id,
        points=made.points,
        state=made.state,
        reason=made.reason,
        created_at=made.created_at,
        release_at=made.release_at,
        settled_at=made.settled_at,
    )
