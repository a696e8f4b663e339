"""What was refused at the door, newest first."""

import json
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from services.ingest.api.cursors import instant_and_id
from services.ingest.domain.flaws import Reason
from services.ingest.store import rejections
from services.ingest.store.rejections import Rejection
from shared.runtime.http import (
    CanRead,
    Ctx,
    Cursor,
    Limit,
    Page,
    encode_cursor,
)

router = APIRouter(prefix="/rejections", tags=["rejections"])


class RejectionView(BaseModel):
    """One refused event. `body` is what was sent, which may name a person: it is shown to keys with
    the scope `operate`, and null to others. A long one is cut and then is a text."""

    id: str
    source: str
    index: int
    event_id: str | None
    event_type: str | None
    reason: str
    errors: list[dict[str, str]]
    body: Any
    rejected_at: datetime


@router.get("")
async def list_rejections(
    context: Ctx,
    caller: CanRead,
    reason: Annotated[Reason | None, Query(description="only this reason")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[RejectionView]:
    """Refused events of the last days, newest first; with their bodies for who may `operate`."""
    async with context.read() as session:
        found = await rejections.page(
            session.driver,
            reason=reason,
            before=instant_and_id(cursor) if cursor else None,
            rows_max=limit + 1,
            bodies="operate" in caller.scopes,
        )
    last = found[limit - 1] if len(found) > limit else None
    return Page(
        items=[_view(one) for one in found[:limit]],
        next_cursor=encode_cursor(last.rejected_at.isoformat(), last.id) if last else None,
    )


def _view(one: Rejection) -> RejectionView:
    return RejectionView(
        id=one.id,
        source=one.source,
        index=one.event_index,
        event_id=one.event_id,
        event_type=one.event_type,
        reason=one.reason,
        errors=list(one.errors),
        body=as_json(one.body) if one.body is not None else None,
        rejected_at=one.rejected_at,
    )


def as_json(text: str) -> Any:
    """A text as JSON where it can be shown as such; what NaN or half a surrogate broke stays."""
    try:
        value = json.loads(text, parse_constant=_refuse)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return text
    return value


def _refuse(name: str) -> None:
    raise ValueError(name)
