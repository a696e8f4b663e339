"""The key of verified traits, which must stay the same for as long as their digests are kept."""

import asyncio

from services.ingest.domain.traits import mark_of
from services.ingest.store import traits
from shared.clock import SystemClock
from shared.retry import Backoff
from shared.runtime.db import Database
from shared.runtime.failures import is_transient
from shared.runtime.telemetry import logger, told

_log = logger("traits")


async def demand_same_key(database: Database, secret: bytes, where: str) -> None:
    """Waits for the database, and raises `ValueError` when its digests have another key: undone
    merges would come back, and nobody would be recognised. `where` tells where this key is from."""
    same = False
    for delay in Backoff().delays():
        try:
            async with database.transaction(SystemClock()) as tx:
                same = await traits.adopt_key(tx.driver, mark_of(secret))
            break
        except Exception as error:
            if not is_transient(error):
                raise
            _log.warning("the key of traits cannot be compared yet", **told(error))
            await asyncio.sleep(delay)
    if not same:
        raise ValueError(
            f"{where}: not the key under which the verified traits in the database were digested; "
            "bring that key back (docs/OPERATIONS.md, Data)"
        )
