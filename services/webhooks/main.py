"""Composition root of webhooks."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path

from fastapi import APIRouter

from services.webhooks import tables
from services.webhooks.api import deliveries, endpoints
from services.webhooks.consumer import SUBSCRIPTIONS
from services.webhooks.handlers.courier import Courier
from services.webhooks.handlers.deliver import drain
from services.webhooks.handlers.means import Means
from services.webhooks.jobs import JOBS
from services.webhooks.sender import Limits, Lookup, open_sender, system_lookup
from services.webhooks.settings import WebhooksSettings
from services.webhooks.store.vault import open_vault
from shared.runtime.db import Database
from shared.runtime.log import Log
from shared.runtime.service import Service


def build(settings: WebhooksSettings | None = None, *, lookup: Lookup = system_lookup) -> Service:
    """The service; `lookup` resolves the names in endpoints' URLs."""
    chosen = settings if settings is not None else WebhooksSettings()
    router = APIRouter()
    router.include_router(endpoints.router)
    router.include_router(deliveries.router)

    def resources(
        _settings: object, database: Database, _log: Log
    ) -> AbstractAsyncContextManager[Means]:
        return _open(chosen, database, lookup)

    return Service(
        name="webhooks",
        settings=chosen,
        metadata=tables.METADATA,
        migrations=Path(__file__).parent / "migrations",
        router=router,
        subscriptions=SUBSCRIPTIONS,
        jobs=JOBS,
        resources=resources,
    )


@asynccontextmanager
async def _open(
    settings: WebhooksSettings, database: Database, lookup: Lookup
) -> AsyncIterator[Means]:
    """One role's means; on leaving, calls in flight are waited for and recorded."""
    key = settings.secret_key.get_secret_value() if settings.secret_key else None
    vault = open_vault(key, settings.data_dir)
    limits = Limits(
        settings.call_seconds_max,
        settings.connect_seconds_max,
        settings.answer_seconds_max,
        settings.answer_bytes_max,
        settings.calls_in_flight_max,
    )
    courier = Courier(settings.calls_in_flight_max, settings.calls_per_endpoint_max)
    async with open_sender(settings.guard, limits, lookup) as sender:
        try:
            yield Means(vault, sender, courier, timedelta(hours=settings.disabled_queue_hours))
        finally:
            await drain(courier, database, settings)
