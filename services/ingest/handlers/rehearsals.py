"""What is posted with a test key: recorded with its verdict, and nothing else comes of it."""

import json
from datetime import datetime, timedelta

from services.ingest.domain.verdict import Verdicts
from services.ingest.handlers.receipt import receipt_time
from services.ingest.store import rehearsals
from services.ingest.store.rehearsals import Rehearsal
from shared.runtime.db import Transaction
from shared.runtime.service import Context


async def record(
    tx: Transaction,
    key_id: str,
    verdicts: Verdicts,
    *,
    now: datetime,
    rows_max: int,
    body_chars_max: int,
) -> None:
    """Keeps the events of a request in their order."""
    good = [
        Rehearsal(
            0, True, one.place, one.id, json.loads(one.line)["type"], (), one.line.decode(), now
        )
        for one in verdicts.accepted
    ]
    bad = [
        Rehearsal(0, False, one.place, one.id, one.type, one.errors, one.body[:body_chars_max], now)
        for one in verdicts.rejected
    ]
    together = sorted([*good, *bad], key=lambda one: one.event_index)
    await rehearsals.keep(tx.driver, key_id, together[-rows_max:], now, rows_max)


async def forget(context: Context, now: datetime) -> bool:  # noqa: ARG001 — retention is wall time
    """Deletes what is older than the retention, some at a time."""
    retention = timedelta(days=context.settings.rehearsals_retention_days)
    before = receipt_time(context.clock) - retention
    async with context.transaction() as tx:
        rows_max = context.settings.rehearsals_forget_rows_max
        return await rehearsals.forget(tx.driver, before, rows_max)
