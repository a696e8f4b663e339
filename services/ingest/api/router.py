"""All routes of ingest."""

from fastapi import APIRouter

from services.ingest.api import (
    customers,
    events,
    keys,
    plan,
    rehearsals,
    rejections,
    replays,
    segment,
)

router = APIRouter()
for _part in (events, plan, replays, rejections, rehearsals, keys, customers):
    router.include_router(_part.router, prefix="/v1")
router.include_router(segment.router)
