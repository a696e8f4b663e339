"""Runs a service's jobs: exclusive ones in the leader, the others in every replica."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from shared.clock import monotonic_seconds, wall_now
from shared.retry import Backoff
from shared.runtime import inbox, metrics
from shared.runtime.failures import is_transient
from shared.runtime.service import Context, Job
from shared.runtime.telemetry import logger, told

_log = logger("jobs")
_FORGET_ROWS = 5_000


async def run_jobs(context: Context, jobs: Sequence[Job]) -> None:
    """All of them side by side, for ever; cancel it to stop."""
    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(_repeat(context, job))


async def _repeat(context: Context, job: Job) -> None:
    """A run that fails is logged and tried again later: a job never ends quietly."""
    delays = Backoff(first_seconds=job.period_seconds, max_seconds=60).delays()
    while True:
        started = monotonic_seconds()
        try:
            more = await job.run(context, context.clock.now())
            delays = Backoff(first_seconds=job.period_seconds, max_seconds=60).delays()
            wait = 0.0 if more else job.period_seconds
        except Exception as error:
            metrics.JOB_FAILURES.labels(job.name).inc()
            wait = 1.0 if is_transient(error) else next(delays)
            _log.warning("job failed", job=job.name, **told(error))
        metrics.JOB_SECONDS.labels(job.name).observe(monotonic_seconds() - started)
        await asyncio.sleep(wait)


async def forget_seen(context: Context, _now: object) -> bool:
    """Drops inbox ids older than the retention. Wall time: it bounds how late a repeat may come."""
    retention = timedelta(days=context.settings.inbox_retention_days)
    async with context.transaction() as tx:
        return await inbox.forget(tx.driver, wall_now(), retention, _FORGET_ROWS)


def housekeeping(sweep_seconds: float) -> tuple[Job, ...]:
    """The jobs that the runtime adds to every service."""
    return (Job("forget_seen", sweep_seconds, forget_seen),)
