"""What waited while an endpoint was disabled: millions of rows, so seen to piece by piece.

Until the last piece is done nothing is leased for that endpoint: what is to be skipped must not
leave, and what waited must not go before live traffic.
"""

from datetime import datetime

from services.webhooks.handlers.timing import wall_time
from services.webhooks.store import deliveries, endpoints
from services.webhooks.store.rows import Backlog
from shared.runtime.db import Transaction
from shared.runtime.service import Context


async def release(tx: Transaction, backlog: Backlog, now: datetime, rows_max: int) -> None:
    """One piece; after the last one the endpoint is served again."""
    if not await deliveries.release(tx.driver, backlog, now, rows_max):
        await endpoints.clear_backlog(tx.driver, backlog.endpoint_id)


async def release_backlogs(context: Context, now: datetime) -> bool:
    """One piece of the oldest backlog; True when there was one."""
    now = wall_time(context.clock, now)
    async with context.transaction() as tx:
        backlog = await endpoints.next_backlog(tx.driver)
        if backlog is not None:
            await release(tx, backlog, now, context.settings.backlog_rows_max)
    return backlog is not None
