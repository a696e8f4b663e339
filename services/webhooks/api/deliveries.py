"""Routes of single deliveries, and of the types there are."""

import json
from typing import Annotated

from fastapi import APIRouter
from fastapi import Path as InPath

from services.webhooks.api.models import Attempt, Delivery, DeliveryDetail, EventTypeView
from services.webhooks.handlers import endpoints as handlers
from services.webhooks.handlers.catalogue import event_types
from services.webhooks.handlers.timing import wall_time
from services.webhooks.store import deliveries
from shared.ids import DeliveryId
from shared.runtime.http import (
    CanOperate,
    CanRead,
    Ctx,
    Cursor,
    Limit,
    Page,
    Problem,
    decode_cursor,
    encode_cursor,
)

router = APIRouter(prefix="/v1", tags=["deliveries"])
# PostgreSQL's text cannot hold NUL.
Id = Annotated[str, InPath(max_length=100, pattern=r"^[^\x00]*$")]


@router.get("/deliveries/{delivery_id}")
async def get_delivery(_: CanRead, context: Ctx, delivery_id: Id) -> DeliveryDetail:
    """One delivery with every call and the bytes' meaning."""
    identity = DeliveryId(delivery_id)
    async with context.read() as session:
        row = await deliveries.get(session.driver, identity)
        attempts = await deliveries.attempts(session.driver, identity)
        body = await deliveries.body(session.driver, identity)
    if row is None:
        raise Problem(404, "no such delivery")
    return DeliveryDetail.of(
        row,
        log=[Attempt.of(one) for one in attempts],
        payload=None if body is None else json.loads(body),
    )


@router.post("/deliveries/{delivery_id}/resend", status_code=202)
async def resend_delivery(_: CanOperate, context: Ctx, delivery_id: Id) -> Delivery:
    """Sends it once more under the same `webhook-id`, with a schedule of its own."""
    identity = DeliveryId(delivery_id)
    async with context.transaction() as tx:
        row = await deliveries.get(tx.driver, identity)
        if row is None:
            raise Problem(404, "no such delivery")
        if not await handlers.resend(tx, identity, wall_time(context.clock)):
            raise Problem(409, "the content of this delivery was erased")
        row = await deliveries.get(tx.driver, identity)
    assert row is not None, "just written"
    return Delivery.of(row)


@router.get("/event-types")
async def list_event_types(
    _: CanRead, limit: Limit = 100, cursor: Cursor = None
) -> Page[EventTypeView]:
    """Every type an endpoint can ask for, with the JSON Schema of its `data` and an example."""
    after = "" if cursor is None else decode_cursor(cursor, 1)[0]
    if not isinstance(after, str):
        raise Problem(422, "the cursor is not one of ours")
    found = [one for one in event_types() if one.type > after]
    return Page(
        items=[EventTypeView.of(one) for one in found[:limit]],
        next_cursor=encode_cursor(found[limit - 1].type) if len(found) > limit else None,
    )
