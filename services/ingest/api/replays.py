"""Replays what was refused, one by one or many at once; or only tells what would come of it."""

from collections.abc import Sequence
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, model_validator

from services.ingest.api.cursors import instant_and_id
from services.ingest.api.rejections import RejectionInPath
from services.ingest.domain.flaws import Reason
from services.ingest.handlers import replays
from services.ingest.handlers.replays import Outcome, Replay, TooLarge, Wanted
from services.ingest.sender import Busy
from services.ingest.store.rejections import Chosen
from shared.events.envelope import Instant, Name
from shared.runtime.http import (
    Body,
    CanOperate,
    Ctx,
    Problem,
    ProblemDetails,
    encode_cursor,
    unavailable,
)
from shared.runtime.log import LogUnavailable

router = APIRouter(prefix="/rejections", tags=["rejections"])
DryRun = Annotated[bool, Query(description="only tell what would come of it")]
RejectionName = Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\x00]*$")]
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": ProblemDetails} for code in (404, 409, 422, 503)
}


class ReplayRequest(Body):
    """Either `ids`, or a `reason`, which `source`, `from` and `to` (the first instant after) may
    narrow. `limit` bounds how many of a reason are looked at, oldest first, and so does
    `INGEST_REPLAY_BYTES_MAX`; `cursor` is the `next_cursor` of the answer before."""

    ids: list[RejectionName] | None = Field(None, min_length=1)
    reason: Reason | None = None
    source: Name | None = None
    since: Instant | None = Field(None, alias="from")
    until: Instant | None = Field(None, alias="to")
    limit: int = Field(100, ge=1)
    cursor: Annotated[str | None, Field(max_length=1_000)] = None

    @model_validator(mode="after")
    def _one_way_to_choose(self) -> Self:
        narrowed = (self.source, self.since, self.until, self.cursor)
        if (self.ids is None) == (self.reason is None):
            raise ValueError("either ids or a reason is needed")
        if self.ids is not None and any(one is not None for one in narrowed):
            raise ValueError("source, from, to and cursor go with a reason, not with ids")
        return self

    def wanted(self) -> Wanted:
        if self.ids is not None:
            return Wanted(ids=list(dict.fromkeys(self.ids)))
        return Wanted(
            chosen=Chosen(self.reason, self.source, self.since, self.until, "open"),
            after=instant_and_id(self.cursor) if self.cursor else None,
            rows_max=self.limit,
        )


class ReplayView(BaseModel):
    """What became of one rejection: `replayed` (published now), `duplicate` (its event was counted
    before, or stands twice in this request; not published), `already_replayed`, `in_progress`
    (somebody else has it in hand), `refused` with the errors of today, `missing`. In a dry run
    `acceptable` stands for `replayed`, and nothing is done."""

    id: str
    outcome: Outcome
    event_id: str | None
    errors: list[dict[str, str]]


class ReplayAnswer(BaseModel):
    """One item for every rejection looked at. `next_cursor` is there while a reason has more."""

    items: list[ReplayView]
    counts: dict[Outcome, int]
    next_cursor: str | None = None


@router.post("/replay", responses={422: _PROBLEMS[422], 503: _PROBLEMS[503]})
async def replay_rejections(
    context: Ctx, caller: CanOperate, wanted: ReplayRequest, dry_run: DryRun = False
) -> ReplayAnswer:
    """Judges refused events again, with their corrections, and publishes those that pass, under
    their own id and source: however often this is asked, each counts once."""
    _bounded(len(wanted.ids) if wanted.ids else wanted.limit, context.settings.replay_events_max)
    done = await _replay(context, wanted.wanted(), caller.key_id, dry_run=dry_run)
    items = _views(done)
    return ReplayAnswer(
        items=items,
        counts=_counts(items),
        next_cursor=encode_cursor(done.last[0].isoformat(), done.last[1]) if done.last else None,
    )


@router.post("/{rejection_id}/replay", responses=_PROBLEMS)
async def replay_rejection(
    context: Ctx, caller: CanOperate, rejection_id: RejectionInPath, dry_run: DryRun = False
) -> ReplayView:
    """Judges one refused event again and publishes it if it passes. 422 tells what is wrong with
    it today, 409 that somebody else has it in hand."""
    done = await _replay(context, Wanted(ids=[rejection_id]), caller.key_id, dry_run=dry_run)
    (one,) = _views(done)
    if one.outcome == "missing":
        raise Problem(404, "there is no such rejection, or it is past the retention")
    if one.outcome == "in_progress":
        raise Problem(409, "somebody else is replaying it")
    if one.outcome == "refused":
        raise Problem(422, "the event is not acceptable", errors=one.errors)
    return one


async def _replay(context: Any, wanted: Wanted, by: str, *, dry_run: bool) -> Replay:
    try:
        return await replays.replay(context, wanted, by, dry_run=dry_run)
    except LogUnavailable:
        raise unavailable("the broker is away; nothing was marked as replayed") from None
    except TooLarge:
        bytes_max = context.settings.replay_bytes_max
        detail = f"one request replays at most {bytes_max} bytes of events; ask for fewer ids"
        raise Problem(422, detail) from None
    except Busy:
        raise unavailable("too much is under way; nothing was replayed") from None


def _bounded(events: int, events_max: int) -> None:
    if events > events_max:
        raise Problem(422, f"one request replays at most {events_max} events, not {events}")


def _views(done: Replay) -> list[ReplayView]:
    return [
        ReplayView(id=one.id, outcome=one.outcome, event_id=one.event_id, errors=list(one.errors))
        for one in done.outcomes
    ]


def _counts(items: Sequence[ReplayView]) -> dict[Outcome, int]:
    counted: dict[Outcome, int] = {}
    for one in items:
        counted[one.outcome] = counted.get(one.outcome, 0) + 1
    return counted
