"""Delays that are over, and orders too old to matter."""

from datetime import datetime

from services.campaigns import rules
from services.campaigns.domain import journey
from services.campaigns.handlers.changes import Cause, Changes
from services.campaigns.handlers.equipment import Tools
from services.campaigns.store import interventions, journeys, people
from shared.runtime.service import Context

_FORGET_ROWS = 5_000


async def wake(context: Context, now: datetime) -> bool:
    """Moves customers whose delay is over on, as of the instant it ended."""
    tools: Tools = context.resources
    async with context.transaction() as tx:
        waiting = await journeys.due_customers(tx.driver, now, tools.timer_batch_rows)
        if not waiting:
            return False
        await people.lock_known(tx.driver, waiting)
        due = await journeys.due_of(tx.driver, sorted(set(waiting)), now)
        versions = await journeys.versions(tx.driver, ((one.journey, one.version) for one in due))
        changes = Changes(tx)
        for enrolment in due:
            version = versions[enrolment.journey, enrolment.version]
            assert enrolment.wake_at is not None
            at = tx.clock.at(enrolment.wake_at)
            moved = journey.advance(version, enrolment, journey.Woken(), at, rules.judge)
            cause = Cause(f"timer:{enrolment.enrolment_id}:{enrolment.step}")
            changes.go(version, moved, cause, at)
        await changes.save()
    return bool(due)


async def forget_orders(context: Context, now: datetime) -> bool:
    """Orders older than any window of conversion."""
    tools: Tools = context.resources
    async with context.transaction() as tx:
        before = now - tools.order_retention
        return await interventions.forget_orders(tx.driver, before, _FORGET_ROWS)
