"""All routes of ingest."""

from fastapi import APIRouter

from services.ingest.api import customers, events, keys, plan, rejections, replays

router = APIRouter(prefix="/v1")
for _part in (events, plan, replays, rejections, keys, customers):
    router.include_router(_part.router)
