"""Journeys and their versions."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel

from services.campaigns.api.paging import named, number
from services.campaigns.domain.definition import Definition
from services.campaigns.store import journeys
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

router = APIRouter(prefix="/journeys", tags=["journeys"])
JourneyPath = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
_BEFORE_ALL = 2**31 - 1
_VERSIONS = range(_BEFORE_ALL + 1)

State = Literal["live", "paused"]


class JourneySummary(BaseModel):
    """`inside` is how many customers are in it now."""

    journey: str
    state: State
    live_version: int
    title: str
    inside: int


class JourneyOut(BaseModel):
    """A journey with the version that customers enter now."""

    journey: str
    state: State
    live_version: int
    created_at: datetime
    definition: Definition


class VersionOut(BaseModel):
    """One version; it never changes."""

    journey: str
    version: int
    created_at: datetime
    definition: Definition


@router.get("")
async def list_journeys(
    context: Ctx, _: CanRead, limit: Limit = 50, cursor: Cursor = None
) -> Page[JourneySummary]:
    """All journeys, by name."""
    after = named(cursor)
    async with context.read() as session:
        rows = await journeys.listed(session.driver, after, limit + 1)
    items = [JourneySummary.model_validate(dict(row)) for row in rows[:limit]]
    more = len(rows) > limit
    return Page[JourneySummary](
        items=items, next_cursor=encode_cursor(items[-1].journey) if more else None
    )


@router.get("/{journey}")
async def get_journey(journey: JourneyPath, context: Ctx, _: CanRead) -> JourneyOut:
    async with context.read() as session:
        row = await journeys.get(session.driver, journey)
    if row is None:
        raise Problem(404, "there is no such journey")
    return JourneyOut(
        journey=row["journey"],
        state=row["state"],
        live_version=row["live_version"],
        created_at=row["created_at"],
        definition=journeys.definition_of(row["definition"]),
    )


@router.get("/{journey}/versions")
async def list_versions(
    journey: JourneyPath, context: Ctx, _: CanRead, limit: Limit = 50, cursor: Cursor = None
) -> Page[VersionOut]:
    """All versions, the newest first."""
    before = number(decode_cursor(cursor, 1)[0], _VERSIONS) if cursor else _BEFORE_ALL
    async with context.read() as session:
        rows = await journeys.versions_of(session.driver, journey, before, limit + 1)
    if not rows and cursor is None:
        raise Problem(404, "there is no such journey")
    items = [
        VersionOut(
            journey=row["journey"],
            version=row["version"],
            created_at=row["created_at"],
            definition=journeys.definition_of(row["definition"]),
        )
        for row in rows[:limit]
    ]
    more = len(rows) > limit
    return Page[VersionOut](
        items=items, next_cursor=encode_cursor(items[-1].version) if more else None
    )
