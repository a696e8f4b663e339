"""All routes of ingest."""

from fastapi import APIRouter

from services.ingest.api import customers, events, keys, rejections, segment

router = APIRouter()
for _part in (events, rejections, keys, customers):
    router.include_router(_part.router, prefix="/v1")
router.include_router(segment.router)
