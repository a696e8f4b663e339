"""All routes of ingest."""

from fastapi import APIRouter

from services.ingest.api import customers, events, keys, rehearsals, rejections

router = APIRouter(prefix="/v1")
for _part in (events, rejections, rehearsals, keys, customers):
    router.include_router(_part.router)
