"""Composition root of scoring."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.scoring import tables
from services.scoring.api import router
from services.scoring.consumer import SUBSCRIPTIONS
from services.scoring.handlers.backlog import Backlog
from services.scoring.handlers.means import Means
from services.scoring.jobs import JOBS
from services.scoring.settings import ScoringSettings
from shared.runtime.db import Database
from shared.runtime.log import Log
from shared.runtime.service import Service
from shared.runtime.settings import RuntimeSettings


def build(settings: ScoringSettings | None = None) -> Service:
    """The service; without settings they are read from the environment."""
    return Service(
        name="scoring",
        settings=settings or ScoringSettings(),
        metadata=tables.METADATA,
        migrations=Path(__file__).parent / "migrations",
        router=router,
        subscriptions=SUBSCRIPTIONS,
        jobs=JOBS,
        resources=_open_tools,
    )


@asynccontextmanager
async def _open_tools(
    settings: RuntimeSettings, _database: Database, log: Log
) -> AsyncIterator[Means]:
    """What handlers need of one role."""
    assert isinstance(settings, ScoringSettings)
    backlog = Backlog(log)
    try:
        yield Means(settings.horizon_days, settings.currency, settings.customer_ids_max, backlog)
    finally:
        await backlog.close()
