"""What the door refused: kept for a while, then forgotten."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from services.ingest.handlers import plans
from services.ingest.handlers.opening import Refused
from services.ingest.handlers.receipt import receipt_time
from services.ingest.store import rejections
from shared.runtime.db import Transaction
from shared.runtime.service import Context


async def keep(
    tx: Transaction,
    events: Sequence[Refused],
    *,
    now: datetime,  # noqa: ARG001 — they carry when they were refused
) -> None:
    """Stores refused events, so that they can be listed; counts those that break the plan."""
    refused = [one.rejection for one in events]
    await rejections.keep(tx.driver, refused)
    await plans.count_refused(tx, refused)


async def forget(context: Context, now: datetime) -> bool:  # noqa: ARG001 — retention is wall time
    """Deletes refused events older than the retention, some at a time."""
    retention = timedelta(days=context.settings.rejections_retention_days)
    before = receipt_time(context.clock) - retention
    async with context.transaction() as tx:
        return await rejections.forget(
            tx.driver, before, context.settings.rejections_forget_rows_max
        )
