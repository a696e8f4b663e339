"""The composition root of insights."""

from pathlib import Path

from fastapi import APIRouter

from services.insights.api import overview, timeline
from services.insights.consumer import SUBSCRIPTIONS
from services.insights.jobs import JOBS
from services.insights.settings import InsightsSettings
from services.insights.tables import METADATA
from shared.runtime.service import Service


def build(settings: InsightsSettings | None = None) -> Service:
    """Metrics and timelines, from everything that is public."""
    router = APIRouter(prefix="/v1")
    router.include_router(overview.router)
    router.include_router(timeline.router)
    return Service(
        "insights",
        settings or InsightsSettings(),
        metadata=METADATA,
        migrations=Path(__file__).parent / "migrations",
        router=router,
        subscriptions=SUBSCRIPTIONS,
        jobs=JOBS,
    )
