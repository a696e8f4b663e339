"""All routes of campaigns."""

from fastapi import APIRouter

from services.campaigns.api import content, customers, interventions, journeys, unsubscribe

router = APIRouter()
for _part in (customers, journeys, interventions, content):
    router.include_router(_part.router, prefix="/v1")
router.include_router(unsubscribe.router)
