"""Who is who: the ids that belong to one person."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel

from services.ingest.domain.naming import ID_CHARS_MAX
from services.ingest.handlers.admit import MERGE_REASON
from services.ingest.store import identities
from shared.runtime.http import CanRead, Ctx, Problem

router = APIRouter(prefix="/customers", tags=["customers"])
# PostgreSQL's text cannot hold NUL.
CustomerInPath = Annotated[str, Path(min_length=1, max_length=ID_CHARS_MAX, pattern=r"^[^\x00]*$")]


class IdView(BaseModel):
    """An id of a person. `known` ones were named as a customer, others only as a visitor."""

    id: str
    known: bool
    first_seen_at: datetime


class LinkView(BaseModel):
    """An id that leads to the canonical one. `merged` tells that it had events of its own, so that
    the link was announced as a merge."""

    id: str
    linked_at: datetime
    event_id: str
    reason: str
    merged: bool


class ConflictView(BaseModel):
    """An event named a visitor with a second customer, and the first link was kept; or with one who
    has as many ids as may be, and `kept_id` is the visitor itself."""

    anonymous_id: str
    customer_id: str
    kept_id: str
    event_id: str
    at: datetime


class IdentityView(BaseModel):
    """Everything known under one canonical id. `truncated` tells of more ids or conflicts
    than are shown."""

    customer_id: str
    ids: list[IdView]
    links: list[LinkView]
    conflicts: list[ConflictView]
    truncated: bool


@router.get("/{customer_id}/identity")
async def read_identity(context: Ctx, _: CanRead, customer_id: CustomerInPath) -> IdentityView:
    """The person behind an id, whichever of their ids it is."""
    rows_max = context.settings.identity_rows_max
    async with context.read() as session:
        found = await identities.load(session.driver, (customer_id,))
        if customer_id not in found:
            raise Problem(404, "no event has named this id")
        canonical = found[customer_id].canonical_id
        together = await identities.together(session.driver, canonical, rows_max + 1)
        ids = together[:rows_max]
        conflicts = await identities.contradictions(
            session.driver, [one.id for one in ids], rows_max + 1
        )
    return IdentityView(
        customer_id=canonical,
        ids=[IdView(id=one.id, known=one.known, first_seen_at=one.first_seen_at) for one in ids],
        links=[
            LinkView(
                id=one.id,
                linked_at=one.linked_at,
                event_id=one.linked_by,
                reason=MERGE_REASON,
                merged=one.appeared,
            )
            for one in ids
            if one.linked_at is not None and one.linked_by is not None
        ],
        conflicts=[
            ConflictView(
                anonymous_id=one.anonymous_id,
                customer_id=one.customer_id,
                kept_id=one.kept_id,
                event_id=one.event_id,
                at=one.at,
            )
            for one in conflicts[:rows_max]
        ],
        truncated=max(len(together), len(conflicts)) > rows_max,
    )
