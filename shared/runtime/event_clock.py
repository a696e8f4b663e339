"""The event clock's position, kept in the database so that every role and restart shares it."""

import asyncio
from datetime import datetime

import asyncpg

from shared.clock import EventClock
from shared.runtime.db import Database
from shared.runtime.failures import is_transient
from shared.runtime.health import Health

_ADVANCE = """
INSERT INTO event_clock (now) VALUES ($1)
ON CONFLICT (single) DO UPDATE SET now = excluded.now WHERE event_clock.now < excluded.now
"""


async def persist(driver: "asyncpg.Connection[asyncpg.Record]", now: datetime) -> None:
    """Moves the stored clock forward, never back."""
    await driver.execute(_ADVANCE, now)


async def refresh(database: Database, clock: EventClock) -> None:
    """Learns how far the other processes are."""
    async with database.read() as session:
        stored = await session.driver.fetchval("SELECT now FROM event_clock")
    if stored is not None:
        clock.observe(stored)


async def follow(database: Database, clock: EventClock, seconds: float, health: Health) -> None:
    """Keeps a process that reads no events (an API, jobs) on the common time."""
    while True:
        try:
            await refresh(database, clock)
            health.waits("clock", None)
        except Exception as error:
            if not is_transient(error):
                raise
        await asyncio.sleep(seconds)
