"""The composition root of loyalty."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter

from services.loyalty import tables
from services.loyalty.api import members, program, redemptions
from services.loyalty.consumer import SUBSCRIPTIONS
from services.loyalty.domain.program import Program
from services.loyalty.jobs import jobs
from services.loyalty.settings import LoyaltySettings
from shared.runtime.db import Database
from shared.runtime.log import Log
from shared.runtime.service import Service
from shared.runtime.settings import RuntimeSettings


@dataclass(frozen=True, slots=True)
class Resources:
    """What handlers find at `tx.resources`."""

    program: Program


def build(settings: LoyaltySettings | None = None) -> Service:
    """Loyalty as a service."""
    chosen = settings or LoyaltySettings()

    router = APIRouter()
    for part in (members, redemptions, program):
        router.include_router(part.router)

    @asynccontextmanager
    async def opened(
        _settings: RuntimeSettings, _database: Database, _log: Log
    ) -> AsyncIterator[Resources]:
        yield Resources(chosen.program())

    return Service(
        name="loyalty",
        settings=chosen,
        metadata=tables.METADATA,
        migrations=Path(__file__).parent / "migrations",
        router=router,
        subscriptions=SUBSCRIPTIONS,
        jobs=jobs(chosen.clock_period_seconds),
        resources=opened,
    )
