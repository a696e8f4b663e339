"""What was refused at the door: listed, counted, shown, corrected."""

import json
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel

from services.ingest.api.cursors import instant_and_id
from services.ingest.domain.flaws import Reason
from services.ingest.handlers import replays
from services.ingest.store import rejections
from services.ingest.store.rejections import Chosen, Rejection, Status
from shared.events.envelope import Instant
from shared.runtime.http import (
    CanOperate,
    CanRead,
    Ctx,
    Cursor,
    Limit,
    Page,
    Problem,
    ProblemDetails,
    encode_cursor,
)

router = APIRouter(prefix="/rejections", tags=["rejections"])
RejectionInPath = Annotated[str, Path(min_length=1, max_length=300, pattern=r"^[^\x00]*$")]
SourceName = Annotated[str, Query(max_length=200, pattern=r"^[^\x00]*$")]


class RejectionView(BaseModel):
    """One refused event. `body` is what was sent, `corrected` what an operator put in its place.
    Both may name a person: they are shown to keys with the scope `operate`, and null to others. A
    long body is cut and then is a text. `replay_id` is the event's id once a replay began."""

    id: str
    status: Status
    source: str
    index: int
    event_id: str | None
    event_type: str | None
    reason: str
    errors: list[dict[str, str]]
    body: Any
    corrected: Any
    rejected_at: datetime
    corrected_at: datetime | None
    replay_id: str | None
    replayed_at: datetime | None

    @classmethod
    def of(cls, one: Rejection) -> Self:
        return cls(
            id=one.id,
            status="open" if one.replayed_at is None else "replayed",
            source=one.source,
            index=one.event_index,
            event_id=one.event_id,
            event_type=one.event_type,
            reason=one.reason,
            errors=list(one.errors),
            body=_shown(one.body),
            corrected=_shown(one.corrected),
            rejected_at=one.rejected_at,
            corrected_at=one.corrected_at,
            replay_id=one.replay_id,
            replayed_at=one.replayed_at,
        )


class ReasonCount(BaseModel):
    """How many events were refused for a reason: still open, and replayed."""

    reason: str
    open: int
    replayed: int


class CorrectionView(RejectionView):
    """A corrected rejection, and whether the door would take it now."""

    acceptable: bool
    errors_now: list[dict[str, str]]


def chosen(
    reason: Annotated[Reason | None, Query(description="only this reason")] = None,
    source: Annotated[SourceName | None, Query(description="only of this source")] = None,
    since: Annotated[
        Instant | None, Query(alias="from", description="refused then or later")
    ] = None,
    until: Annotated[Instant | None, Query(alias="to", description="refused before then")] = None,
    status: Annotated[Literal["open", "replayed"] | None, Query()] = None,
) -> Chosen:
    """The filter of the lists below."""
    return Chosen(reason, source, since, until, status)


Filter = Annotated[Chosen, Depends(chosen)]


@router.get("")
async def list_rejections(
    context: Ctx, caller: CanRead, wanted: Filter, limit: Limit = 50, cursor: Cursor = None
) -> Page[RejectionView]:
    """Refused events of the last days, newest first; with their bodies for who may `operate`."""
    async with context.read() as session:
        found = await rejections.page(
            session.driver,
            wanted,
            before=instant_and_id(cursor) if cursor else None,
            rows_max=limit + 1,
            bodies="operate" in caller.scopes,
        )
    last = found[limit - 1] if len(found) > limit else None
    return Page(
        items=[RejectionView.of(one) for one in found[:limit]],
        next_cursor=encode_cursor(last.rejected_at.isoformat(), last.id) if last else None,
    )


@router.get("/counts")
async def count_rejections(context: Ctx, _: CanRead, wanted: Filter) -> Page[ReasonCount]:
    """How many events were refused, by reason: one page of all reasons that occur."""
    async with context.read() as session:
        found = await rejections.counts(session.driver, wanted)
    return Page(items=[ReasonCount(**one._asdict()) for one in found])


@router.get("/{rejection_id}", responses={404: {"model": ProblemDetails}})
async def get_rejection(
    context: Ctx, caller: CanRead, rejection_id: RejectionInPath
) -> RejectionView:
    """One refused event; with its body for who may `operate`."""
    return RejectionView.of(await _found(context, rejection_id, bodies="operate" in caller.scopes))


@router.put(
    "/{rejection_id}",
    responses={code: {"model": ProblemDetails} for code in (400, 404, 409, 413, 422)},
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "The corrected event, as it would be posted. Its id stays.",
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
    },
)
async def correct_rejection(
    request: Request, context: Ctx, caller: CanOperate, rejection_id: RejectionInPath
) -> CorrectionView:
    """Puts a corrected event in the place of what was sent, and tells what the door would say to
    it. Nothing is published: replay does that. 409 once it was replayed or while it is."""
    one = await _found(context, rejection_id, bodies=True)
    text = _event_text(await request.body(), context.settings.event_bytes_max)
    stored, errors = await replays.correct(context, one, text, caller.key_id)
    if not stored:
        raise Problem(409, "it was replayed, or is being replayed; nothing was changed")
    one = await _found(context, rejection_id, bodies=True)
    view = RejectionView.of(one).model_dump()
    return CorrectionView(**view, acceptable=not errors, errors_now=list(errors))


async def _found(context: Any, rejection_id: str, *, bodies: bool) -> Rejection:
    async with context.read() as session:
        one = await rejections.find(session.driver, rejection_id, bodies=bodies)
    if one is None:
        raise Problem(404, "there is no such rejection, or it is past the retention")
    return one


def _event_text(body: bytes, bytes_max: int) -> str:
    """One event as JSON text in ASCII, which PostgreSQL can keep whatever is in it."""
    if len(body) > bytes_max:
        raise Problem(413, f"an event has at most {bytes_max} bytes")
    try:
        value = json.loads(body.decode())
        if isinstance(value, dict) and "events" not in value:
            return json.dumps(value, separators=(",", ":"))
    except (ValueError, RecursionError):
        raise Problem(400, "the body is not JSON that can be read") from None
    raise Problem(422, "the body must be one event")


def _shown(text: str | None) -> Any:
    """As JSON where it can be shown as such; what NaN or half a surrogate broke stays a text."""
    if text is None:
        return None
    try:
        value = json.loads(text, parse_constant=_refuse)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return text
    return value


def _refuse(name: str) -> None:
    raise ValueError(name)
