"""All routes of ingest."""

from fastapi import APIRouter

from services.ingest.api import customers, events, keys, merges, rejections

router = APIRouter(prefix="/v1")
for _part in (events, rejections, keys, customers, merges):
    router.include_router(_part.router)
