"""Who is who: the ids that belong to one person."""

from datetime import datetime
from typing import Self

from fastapi import APIRouter
from pydantic import BaseModel

from services.ingest.api.parts import REASONS, CustomerInPath
from services.ingest.domain.identity import Conflict, Refusal
from services.ingest.store import conflicts, identities, merges
from services.ingest.store.merges import Merge
from shared.runtime.http import CanRead, Ctx, Problem

router = APIRouter(prefix="/customers", tags=["customers"])


class IdView(BaseModel):
    """An id of a person. `known` ones were named as a customer, others only as a visitor."""

    id: str
    known: bool
    first_seen_at: datetime


class LinkView(BaseModel):
    """A merge in force: `id` belongs to `customer_id`. `merged` tells that it had events of its own
    before. `event_id` is null for what an operator decided."""

    id: str
    customer_id: str
    merge_id: str
    linked_at: datetime
    event_id: str | None
    reason: str
    merged: bool


class ConflictView(BaseModel):
    """What was not linked: `anonymous_id` belongs to `kept_id`, perhaps itself, although an event
    named it with `customer_id`; an operator did where `event_id` is null."""

    anonymous_id: str
    customer_id: str
    kept_id: str
    event_id: str | None
    reason: Refusal
    at: datetime

    @classmethod
    def of(cls, one: Conflict) -> Self:
        return cls.model_validate(one, from_attributes=True)


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
        names = [one.id for one in ids]
        against = await conflicts.of_ids(session.driver, names, rows_max + 1)
        links = await merges.in_force(session.driver, names, rows_max + 1)
    appeared = {one.id for one in ids if one.appeared or one.known}
    return IdentityView(
        customer_id=canonical,
        ids=[IdView(id=one.id, known=one.known, first_seen_at=one.first_seen_at) for one in ids],
        links=[_link(one, one.absorbed_id in appeared) for one in links[:rows_max]],
        conflicts=[ConflictView.of(one) for one in against[:rows_max]],
        truncated=max(len(together), len(against), len(links)) > rows_max,
    )


def _link(one: Merge, merged: bool) -> LinkView:
    return LinkView(
        id=one.absorbed_id,
        customer_id=one.survivor_id,
        merge_id=one.id,
        linked_at=one.made_at,
        event_id=one.cause,
        reason=REASONS[one.through],
        merged=merged,
    )
