"""`GET /v1/customers/{id}/timeline`: all that is known to have happened, newest first."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field, StringConstraints

from services.insights.domain.details import title
from services.insights.store import timeline
from shared.ids import CustomerId
from shared.runtime.http import (
    CanRead,
    Ctx,
    Cursor,
    Limit,
    Page,
    Problem,
    decode_cursor,
    encode_cursor,
)

router = APIRouter(tags=["customers"])
# PostgreSQL's text cannot hold NUL.
NO_NUL = r"^[^\x00]*$"
CustomerParameter = Annotated[
    CustomerId, Path(max_length=200, pattern=NO_NUL, description="any id of the person")
]
KINDS_MAX = 50
Kind = Annotated[str, StringConstraints(max_length=200, pattern=NO_NUL)]
Kinds = Annotated[
    list[Kind] | None,
    Query(
        alias="kind",
        max_length=KINDS_MAX,
        description="event types to show, such as `order.completed`; repeat it for several",
    ),
]


class Entry(BaseModel):
    """Something that happened to or was decided about a customer."""

    at: datetime = Field(description="when it happened")
    kind: str = Field(description="the event's type", examples=["points.awarded"])
    title: str = Field(description="in words", examples=["12 points awarded for order o-1"])
    event_id: str
    cause: str | None = Field(
        description="`event_id` of what led to it: order → points, assessment → intervention"
    )
    source: str
    customer_id: str = Field(description="the id that the event named")
    details: dict[str, str | int | float | bool] = Field(
        description="amounts, ids of things and names of rules; never traits or texts"
    )


class Timeline(Page[Entry]):
    """One page. `customer_id` stands for the person, `aliases` are the ids merged into it."""

    customer_id: str
    aliases: list[str]


@router.get(
    "/customers/{customer_id}/timeline",
    responses={404: {"description": "nothing was ever heard of this id"}},
)
async def read_timeline(
    customer_id: CustomerParameter,
    context: Ctx,
    _: CanRead,
    kinds: Kinds = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Timeline:
    """Newest first; entries of the same instant in the reverse order of their being recorded.

    Merged ids are one person with one timeline, whichever of them is asked for.
    """
    before = _position(cursor) if cursor else None
    async with context.read() as session:
        person = await timeline.person_of(session.driver, customer_id)
        found = await timeline.page(
            session.driver, person, before=before, kinds=kinds or None, limit=limit + 1
        )
        if not found and not await timeline.is_known(session.driver, person):
            raise Problem(404, "no such customer")
    return Timeline(
        customer_id=person.customer,
        aliases=list(person.ids[1:]),
        items=[_entry(one) for one in found[:limit]],
        next_cursor=_cursor(found[limit - 1].position) if len(found) > limit else None,
    )


def _entry(found: timeline.Entry) -> Entry:
    at, _, event_id, source = found.position
    return Entry(
        at=at,
        kind=found.kind,
        title=title(found.kind, found.details),
        event_id=event_id,
        cause=found.cause,
        source=source,
        customer_id=found.customer,
        details=dict(found.details),
    )


def _cursor(position: timeline.Position) -> str:
    at, recorded_at, event_id, source = position
    return encode_cursor(at.isoformat(), recorded_at.isoformat(), event_id, source)


def _position(cursor: str) -> timeline.Position:
    at, recorded_at, event_id, source = decode_cursor(cursor, 4)
    try:
        return _instant(at), _instant(recorded_at), _name(event_id), _name(source)
    except (TypeError, ValueError, OverflowError):
        raise Problem(
            422,
            "the cursor is not one of ours",
            errors=[{"path": "cursor", "message": "invalid"}],
        ) from None


def _instant(text: Any) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("an instant without an offset")
    return instant.astimezone(UTC)


def _name(text: Any) -> str:
    if not isinstance(text, str) or b"\x00" in text.encode():
        raise ValueError("not a name")
    return text
