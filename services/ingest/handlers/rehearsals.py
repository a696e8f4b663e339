"""What is posted with a test key: recorded with its verdict, and nothing else comes of it."""

import asyncio
import json
from datetime import datetime, timedelta

from services.ingest.domain.verdict import Accepted, Verdicts
from services.ingest.handlers.receipt import receipt_time
from services.ingest.store import rehearsals
from services.ingest.store.rehearsals import Rehearsal
from shared.runtime.service import Context

# Requests of one key wait for each other in the database; before it, lest they hold all its
# connections, which everybody else needs.
AT_ONCE = 2


async def record(context: Context, key_id: str, verdicts: Verdicts) -> None:
    """Keeps the events of a request in their order. Raises `TimeoutError` when others take too
    long."""
    settings, now = context.settings, receipt_time(context.clock)
    kept = _rehearsals(verdicts, now, settings.rejected_body_chars_max)
    turn = context.resources.rehearsing
    async with asyncio.timeout(settings.acknowledgement_seconds_max):
        await turn.acquire()
    try:
        async with context.transaction() as tx:
            await rehearsals.keep(
                tx.driver,
                key_id,
                kept[-settings.rehearsals_per_key_max :],
                now,
                rows_max=settings.rehearsals_per_key_max,
                bytes_max=settings.rehearsals_per_key_bytes_max,
            )
    finally:
        turn.release()


def _rehearsals(verdicts: Verdicts, now: datetime, chars_max: int) -> list[Rehearsal]:
    good = [
        Rehearsal(0, True, one.place, one.id, _type_of(one.line), (), _cut(one, chars_max), now)
        for one in verdicts.accepted
    ]
    bad = [
        Rehearsal(0, False, one.place, one.id, one.type, one.errors, one.body[:chars_max], now)
        for one in verdicts.rejected
    ]
    return sorted([*good, *bad], key=lambda one: one.event_index)


def _type_of(line: bytes) -> str:
    return str(json.loads(line)["type"])


def _cut(one: Accepted, chars_max: int) -> str:
    return one.line.decode()[:chars_max]


async def forget(context: Context, now: datetime) -> bool:  # noqa: ARG001 — retention is wall time
    """Deletes what is older than the retention, some at a time."""
    retention = timedelta(days=context.settings.rehearsals_retention_days)
    before = receipt_time(context.clock) - retention
    async with context.transaction() as tx:
        rows_max = context.settings.rehearsals_forget_rows_max
        return await rehearsals.forget(tx.driver, before, rows_max)
