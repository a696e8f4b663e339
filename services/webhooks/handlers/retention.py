"""Old messages go, with their deliveries and attempts."""

from datetime import datetime, timedelta

from services.webhooks.handlers.timing import wall_time
from services.webhooks.store import messages
from shared.runtime.service import Context


async def forget_old(context: Context, now: datetime) -> bool:
    """Deletes some of what is older than the retention; True when there may be more."""
    async with context.transaction() as tx:
        return await messages.drop_old(
            tx.driver,
            wall_time(context.clock, now),
            timedelta(days=context.settings.retention_days),
            context.settings.retention_rows_max,
        )
