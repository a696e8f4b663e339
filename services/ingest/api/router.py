"""All routes of ingest."""

from fastapi import APIRouter

from services.ingest.api import (
    customers,
    events,
    keys,
    merges,
    plan,
    rehearsals,
    rejections,
    replays,
    segment,
)

router = APIRouter()
for _part in (events, plan, replays, rejections, rehearsals, keys, customers, merges):
    router.include_router(_part.router, prefix="/v1")
router.include_router(segment.router)
