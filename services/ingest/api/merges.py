"""What joins the ids of a person: looked at before, decided, listed, undone."""

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Path, Query, Response
from pydantic import AfterValidator, BaseModel

from services.ingest.api.cursors import instant_and_id, instant_and_ids
from services.ingest.api.customers import ConflictView
from services.ingest.api.parts import REASONS, CustomerInPath
from services.ingest.domain import naming
from services.ingest.domain.identity import Refusal
from services.ingest.handlers import merging
from services.ingest.handlers.merging import Denied, Request
from services.ingest.handlers.receipt import default_time, receipt_time
from services.ingest.store import conflicts, identities, merges
from services.ingest.store.merges import Because, Merge, Through
from shared.runtime.auth import Caller
from shared.runtime.http import (
    Body,
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
from shared.runtime.service import Context

router = APIRouter(tags=["customers"])
MergeInPath = Annotated[str, Path(pattern="^[0-9a-zA-Z-]{1,64}$")]
_DENIED: dict[Denied, str] = {
    "undone": "a merge of these two was undone; `rejoin` decides otherwise",
    "reversed": "an alias in force joins them in the other direction; undo that merge first",
    "too_many_ids": "together they have more ids than one customer may have",
}


def _legal(name: str) -> str:
    why = naming.flaw_of(name)
    if why is not None:
        raise ValueError(why)
    return name


LegalId = Annotated[str, AfterValidator(_legal)]


class AliasRequest(Body):
    """`previous_id` is the same customer. `rejoin` makes two ids one whose merge was undone."""

    previous_id: LegalId
    rejoin: bool = False


class MergeView(BaseModel):
    """One reason for two ids to be one person, in force until it is `ended_at`.

    `made_by` is the source of the event `event_id`, or the key of an operator. It ended because it
    was `undone` (by the key `ended_by`), or `corrected`: `ended_by` is the event that told better.
    """

    id: str
    through: Through
    reason: str
    absorbed_id: str
    survivor_id: str
    event_id: str | None
    made_by: str
    happened_at: datetime
    made_at: datetime
    ended_at: datetime | None
    ended_by: str | None
    ended_because: Because | None

    @classmethod
    def of(cls, one: Merge) -> Self:
        return cls(
            id=one.id,
            through=one.through,
            reason=REASONS[one.through],
            absorbed_id=one.absorbed_id,
            survivor_id=one.survivor_id,
            event_id=one.cause,
            made_by=one.made_by,
            happened_at=one.happened_at,
            made_at=one.made_at,
            ended_at=one.ended_at,
            ended_by=one.ended_by,
            ended_because=one.ended_because,
        )


class AliasView(BaseModel):
    """The merge that holds two ids together, and the id that stands for the person now."""

    customer_id: str
    merge: MergeView


class SideView(BaseModel):
    """One of two persons, with the first of their ids; `ids_count` counts them all."""

    customer_id: str
    ids: list[str]
    ids_count: int


class PreviewView(BaseModel):
    """What an alias would make one person: `ids_count` ids together. `already_one` tells that they
    are one now; `denied` why the alias would be refused (`undone` yields to `rejoin`)."""

    already_one: bool
    ids_count: int
    denied: Denied | None
    sides: list[SideView]


class UndoneView(BaseModel):
    """The merge that ended, and where its two ids lead now. `still_together`: other merges in force
    hold them; `GET /v1/customers/{id}/merges` lists those."""

    merge: MergeView
    absorbed_leads_to: str
    survivor_leads_to: str
    still_together: bool


def _request(context: Context, caller: Caller) -> Request:
    clock = context.clock
    return Request(f"/keys/{caller.key_id}", default_time(clock), receipt_time(clock))


@router.post(
    "/customers/{customer_id}/aliases",
    status_code=201,
    responses={
        200: {"model": AliasView, "description": "the same alias was made before"},
        409: {
            "model": ProblemDetails,
            "description": "undone before, joined in the other direction, or too many ids",
        },
    },
)
async def make_alias(
    context: Ctx,
    caller: CanOperate,
    customer_id: CustomerInPath,
    wanted: AliasRequest,
    response: Response,
) -> AliasView:
    """Makes another id the same customer's, also where both were named as customers. Asking again
    changes nothing, so it can be repeated safely."""
    why = naming.flaw_of(customer_id)
    if why is not None or customer_id == wanted.previous_id:
        raise Problem(422, why or "these are the same id")
    async with context.transaction() as tx:
        done = await merging.alias(
            tx,
            wanted.previous_id,
            customer_id,
            rejoin=wanted.rejoin,
            request=_request(context, caller),
        )
    if not isinstance(done, merging.Joined):
        raise Problem(409, _DENIED[done], reason=done)
    response.status_code = 201 if done.made else 200
    return AliasView(customer_id=done.canonical_id, merge=MergeView.of(done.merge))


@router.get("/customers/{customer_id}/merge-preview")
async def preview_merge(
    context: Ctx,
    _: CanRead,
    customer_id: CustomerInPath,
    previous_id: Annotated[LegalId, Query(description="the id that an alias would add")],
) -> PreviewView:
    """What an alias would do, without doing it."""
    settings = context.settings
    async with context.read() as session:
        seen = await merging.preview(
            session, previous_id, customer_id, context.resources.identity.bounds
        )
        sides = []
        for canonical in dict.fromkeys((seen.customer, seen.previous)):
            ids = await identities.together(session.driver, canonical, settings.identity_rows_max)
            count = await identities.links(
                session.driver, [canonical], settings.identity_links_max + 1
            )
            names = [one.id for one in ids] or [canonical]
            sides.append(SideView(customer_id=canonical, ids=names, ids_count=count[canonical] + 1))
    return PreviewView(
        already_one=seen.already_one, ids_count=seen.ids, denied=seen.denied, sides=sides
    )


@router.get("/customers/{customer_id}/merges")
async def list_merges(
    context: Ctx,
    _: CanRead,
    customer_id: CustomerInPath,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[MergeView]:
    """What joins or once joined the ids of a person: who, when, because of what; newest first."""
    rows_max = context.settings.identity_rows_max
    async with context.read() as session:
        found = await identities.load(session.driver, (customer_id,))
        if customer_id not in found:
            raise Problem(404, "no event has named this id")
        canonical = found[customer_id].canonical_id
        together = await identities.together(session.driver, canonical, rows_max)
        rows = await merges.page(
            session.driver,
            [customer_id, *(one.id for one in together)],
            before=instant_and_id(cursor) if cursor else None,
            rows_max=limit + 1,
        )
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(
        items=[MergeView.of(one) for one in rows[:limit]],
        next_cursor=encode_cursor(last.made_at.isoformat(), last.id) if last else None,
    )


@router.post(
    "/merges/{merge_id}/undo",
    responses={409: {"model": ProblemDetails, "description": "it ended otherwise"}},
)
async def undo_merge(context: Ctx, caller: CanOperate, merge_id: MergeInPath) -> UndoneView:
    """Takes a merge back, exactly: every event stays with the id it named. What was undone stays
    so whatever events say later; an alias with `rejoin` decides otherwise. Asking again changes
    nothing."""
    async with context.transaction() as tx:
        done = await merging.undo(tx, merge_id, request=_request(context, caller))
        if done == "missing":
            raise Problem(404, "there is no such merge")
        if done == "corrected":
            raise Problem(409, "this merge has ended already: an event or an alias told otherwise")
        found = await identities.load(tx.driver, (done.absorbed_id, done.survivor_id))
    absorbed, survivor = (found[one].canonical_id for one in (done.absorbed_id, done.survivor_id))
    return UndoneView(
        merge=MergeView.of(done),
        absorbed_leads_to=absorbed,
        survivor_leads_to=survivor,
        still_together=absorbed == survivor,
    )


@router.get("/identity-conflicts")
async def list_conflicts(
    context: Ctx,
    _: CanRead,
    reason: Annotated[Refusal | None, Query(description="only this reason")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ConflictView]:
    """What was not merged, and why, newest first: contradictions, limits, undone merges."""
    async with context.read() as session:
        rows = await conflicts.page(
            session.driver,
            reason=reason,
            before=instant_and_ids(cursor) if cursor else None,
            rows_max=limit + 1,
        )
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(
        items=[ConflictView.of(one) for one in rows[:limit]],
        next_cursor=encode_cursor(last.at.isoformat(), last.anonymous_id, last.customer_id)
        if last
        else None,
    )
