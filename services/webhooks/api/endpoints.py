"""Routes of endpoints: who is told, of what, and with which secret."""

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Response
from fastapi import Path as InPath

from services.webhooks.api.models import (
    Delivery,
    DeliveryStatus,
    Endpoint,
    EndpointCreate,
    EndpointCreated,
    EndpointPatch,
    RotateRequest,
    Secret,
    TestRequest,
)
from services.webhooks.handlers import endpoints as handlers
from services.webhooks.handlers.catalogue import example_of
from services.webhooks.handlers.endpoints import TEST_TYPE, TooMany, Wish
from services.webhooks.handlers.means import Means
from services.webhooks.handlers.timing import wall_time
from services.webhooks.store import deliveries, endpoints
from services.webhooks.store.rows import EndpointRow
from shared.clock import EPOCH
from shared.ids import EndpointId
from shared.runtime.http import (
    CanAdmin,
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

router = APIRouter(prefix="/v1/endpoints", tags=["endpoints"])
# PostgreSQL's text cannot hold NUL.
Id = Annotated[str, InPath(max_length=100, pattern=r"^[^\x00]*$")]


@router.post("", status_code=201)
async def create_endpoint(_: CanAdmin, context: Ctx, body: EndpointCreate) -> EndpointCreated:
    """Registers a receiver. The answer is the only place where the signing secret is shown."""
    await _check_url(context, body.url)
    wish = Wish(
        url=body.url,
        event_types=body.event_types,
        description=body.description,
        rate_per_second=body.rate_per_second,
    )
    async with context.transaction() as tx:
        made = await handlers.create(
            tx, wish, wall_time(context.clock), context.settings.endpoints_max
        )
    if isinstance(made, TooMany):
        raise Problem(409, f"there are {made.limit} endpoints, which is the limit")
    endpoint, secret = made
    return EndpointCreated.of(endpoint, secret=secret)


@router.get("")
async def list_endpoints(
    _: CanRead, context: Ctx, limit: Limit = 50, cursor: Cursor = None
) -> Page[Endpoint]:
    """All endpoints, oldest first."""
    after = (EPOCH, "") if cursor is None else position(cursor)
    async with context.read() as session:
        rows = await endpoints.page(session.driver, after, limit + 1)
    following = None
    if len(rows) > limit:
        last = rows[limit - 1]
        following = encode_cursor(last.created_at.isoformat(), last.id)
    return Page(items=[Endpoint.of(row) for row in rows[:limit]], next_cursor=following)


@router.get("/{endpoint_id}")
async def get_endpoint(_: CanRead, context: Ctx, endpoint_id: Id) -> Endpoint:
    """One endpoint."""
    return Endpoint.of(await _existing(context, endpoint_id))


@router.patch("/{endpoint_id}")
async def change_endpoint(
    _: CanAdmin, context: Ctx, endpoint_id: Id, body: EndpointPatch
) -> Endpoint:
    """Changes what is given. `rate_per_second: null` lifts the limit."""
    if body.url is not None:
        await _check_url(context, body.url)
    given = body.model_fields_set
    wish = Wish(
        url=body.url,
        event_types=body.event_types,
        description=body.description,
        enabled=body.enabled,
        rate_per_second=body.rate_per_second,
        unlimited="rate_per_second" in given and body.rate_per_second is None,
        waiting=body.waiting,
    )
    async with context.transaction() as tx:
        row = await handlers.change(
            tx,
            EndpointId(endpoint_id),
            wish,
            wall_time(context.clock),
            context.settings.backlog_rows_max,
        )
    if row is None:
        raise _unknown()
    return Endpoint.of(row)


@router.delete("/{endpoint_id}", status_code=204)
async def delete_endpoint(_: CanAdmin, context: Ctx, endpoint_id: Id) -> Response:
    """Ends all deliveries to it; its history stays until retention."""
    async with context.transaction() as tx:
        deleted = await endpoints.delete(
            tx.driver, EndpointId(endpoint_id), wall_time(context.clock)
        )
    if not deleted:
        raise _unknown()
    return Response(status_code=204)


@router.post("/{endpoint_id}/secret/rotate")
async def rotate_secret(
    _: CanAdmin, context: Ctx, endpoint_id: Id, body: RotateRequest | None = None
) -> Secret:
    """A new secret, shown once; until the overlap is over every call carries both signatures."""
    settings, now = context.settings, wall_time(context.clock)
    asked = body.overlap_hours if body is not None else None
    overlap = timedelta(hours=settings.secret_overlap_hours if asked is None else asked)
    async with context.transaction() as tx:
        secret = await handlers.rotate(
            tx, EndpointId(endpoint_id), now, overlap, settings.secrets_per_endpoint_max
        )
    if secret is None:
        raise _unknown()
    return Secret(secret=secret, old_valid_until=now + overlap)


@router.post("/{endpoint_id}/test", status_code=202)
async def send_test_message(
    _: CanOperate, context: Ctx, endpoint_id: Id, body: TestRequest | None = None
) -> Delivery:
    """Sends a test message now; follow it at `GET /v1/deliveries/{id}`."""
    endpoint = await _existing(context, endpoint_id)
    if not endpoint.standing.enabled:
        raise Problem(409, "the endpoint is disabled; enable it first")
    event_type = (body.event_type if body is not None else None) or TEST_TYPE
    data = {"endpoint_id": endpoint.id} if event_type == TEST_TYPE else example_of(event_type)
    if data is None:
        raise Problem(
            422, "no such type", errors=[{"path": "event_type", "message": "not a public type"}]
        )
    async with context.transaction() as tx:
        delivery = await handlers.send_test(
            tx, endpoint.id, event_type, json.dumps(data), wall_time(context.clock)
        )
        row = await deliveries.get(tx.driver, delivery)
    assert row is not None, "just written"
    return Delivery.of(row)


@router.get("/{endpoint_id}/deliveries")
async def list_deliveries(
    _: CanRead,
    context: Ctx,
    endpoint_id: Id,
    status: DeliveryStatus | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Delivery]:
    """An endpoint's deliveries, newest first."""
    endpoint = await _existing(context, endpoint_id)
    before = None if cursor is None else position(cursor)
    async with context.read() as session:
        rows = await deliveries.page(session.driver, endpoint.id, status, before, limit + 1)
    following = None
    if len(rows) > limit:
        last = rows[limit - 1]
        following = encode_cursor(last.created_at.isoformat(), last.id)
    return Page(items=[Delivery.of(row) for row in rows[:limit]], next_cursor=following)


def position(cursor: str) -> tuple[datetime, str]:
    """The instant and id that a cursor stands for; a foreign one is a 422."""
    instant, last = decode_cursor(cursor, 2)
    try:
        at = datetime.fromisoformat(instant).astimezone(UTC)
        if not isinstance(last, str) or b"\x00" in last.encode():
            raise ValueError("not an id")
    except (TypeError, ValueError, OverflowError):
        raise Problem(422, "the cursor is not one of ours") from None
    return at, last


async def _check_url(context: Ctx, url: str) -> None:
    means: Means = context.resources
    refusal = await means.sender.refusal(url)
    if refusal is not None:
        raise Problem(
            422, "this URL cannot be an endpoint", errors=[{"path": "url", "message": refusal}]
        )


async def _existing(context: Ctx, endpoint_id: str) -> EndpointRow:
    async with context.read() as session:
        row = await endpoints.get(session.driver, EndpointId(endpoint_id))
    if row is None:
        raise _unknown()
    return row


def _unknown() -> Problem:
    return Problem(404, "no such endpoint")
