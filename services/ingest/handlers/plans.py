"""The tracking plan: which one is in force here, what breaks it, and what a draft would say.

Every process looks for a newly active version every few seconds. A door that cannot ask the
database goes on with what it knows: a shop's orders are worth more than its spelling.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import orjson

from services.ingest.domain import plan, violations
from services.ingest.domain.checks import REQUEST_LOOKS_MAX, Allowance
from services.ingest.domain.intake import to_line
from services.ingest.domain.observed import Observed
from services.ingest.domain.plan import Plan
from services.ingest.domain.verdict import Limits
from services.ingest.domain.violations import Broken
from services.ingest.handlers.opening import Received
from services.ingest.handlers.receipt import receipt_time
from services.ingest.store import plan_counts, plans
from services.ingest.store.plans import PlanRow
from services.ingest.store.rejections import Rejection
from shared.clock import SystemClock, wall_now
from shared.retry import Backoff
from shared.runtime.db import Database, Transaction
from shared.runtime.service import Context
from shared.runtime.telemetry import logger, told

_log = logger("plans")
_FIRST_SECONDS = 2.0
# Less time than admitting the event takes.
_LOOKS_PER_EVENT = 50


class InForce:
    """The plan that this process applies, and what it has seen since it last told."""

    def __init__(
        self, limits: Limits, *, observed_events_max: int, rows_max: int, examples_max: int
    ) -> None:
        self.version = 0
        self.limits = limits
        self.observed = Observed()
        self.observed_events_max = observed_events_max
        self.rows_max = rows_max
        self.examples_max = examples_max

    @property
    def plan(self) -> Plan | None:
        return self.limits.plan

    def adopt(self, version: int, document: dict[str, Any]) -> None:
        """From now on this version is applied."""
        self.limits = replace(self.limits, plan=plan.ready(version, document))
        self.version = version


@asynccontextmanager
async def following(
    database: Database, in_force: InForce, seconds: float, observed_rows_max: int
) -> AsyncIterator[None]:
    """Keeps the plan current and tells what was observed, until it is left."""
    try:
        async with asyncio.timeout(_FIRST_SECONDS):
            await refresh(database, in_force)
    except Exception as error:
        _log.warning("the tracking plan cannot be read yet", **told(error))
    task = asyncio.create_task(_follow(database, in_force, seconds, observed_rows_max))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def refresh(database: Database, in_force: InForce) -> None:
    """Adopts the active version if it is another."""
    async with database.read() as session:
        found = await plans.news(session.driver, in_force.version)
    if found is not None:
        in_force.adopt(*found)


async def _follow(
    database: Database, in_force: InForce, seconds: float, observed_rows_max: int
) -> None:
    delays = Backoff(first_seconds=seconds, max_seconds=60).delays()
    while True:
        try:
            await refresh(database, in_force)
            await tell_observed(database, in_force, observed_rows_max)
            delays = Backoff(first_seconds=seconds, max_seconds=60).delays()
            wait = seconds
        except Exception as error:
            wait = next(delays)
            _log.warning("the tracking plan cannot be followed", **told(error))
        await asyncio.sleep(wait)


async def tell_observed(database: Database, in_force: InForce, rows_max: int) -> None:
    """Stores what was observed. What a crash loses is a sample of a few seconds."""
    seen = in_force.observed.take()
    if seen:
        async with database.transaction(SystemClock()) as tx:
            await plan_counts.observe(tx.driver, seen, at=wall_now(), rows_max=rows_max)


async def look_at(tx: Transaction, received: Sequence[Received]) -> None:
    """Counts what breaks the plan in mode `warn`, in the transaction that admits the events; and
    remembers what some of them look like.

    PostgreSQL ends a transaction that looks too long at what was posted and says nothing. So there
    is one allowance for the batch, which grows with it no faster than all else it costs.
    """
    in_force: InForce = tx.resources.in_force
    _observe(in_force, received)
    asked = in_force.plan
    if asked is None:
        return
    broken = warned(asked, received)
    if broken:
        await _count(tx, in_force, broken, max(one.received_at for one in received))


def warned(asked: Plan, received: Sequence[Received]) -> list[Broken]:
    """What breaks the plan by types in mode `warn`."""
    allowance = Allowance(REQUEST_LOOKS_MAX + _LOOKS_PER_EVENT * len(received))
    return [
        Broken(one.event.type, flaw.field, flaw.rule, one.id)
        for one in received
        if asked.mode_of(one.event.type) == "warn"
        for flaw in asked.violations(one.event.type, to_line(one.event), allowance)
        if flaw.rule is not None
    ]


def _observe(in_force: InForce, received: Sequence[Received]) -> None:
    """A few events of every batch, spread over it."""
    wanted = min(in_force.observed_events_max, len(received))
    if wanted:
        for one in received[:: len(received) // wanted][:wanted]:
            data = orjson.loads(to_line(one.event))["data"]
            in_force.observed.add(one.event.type, data)


async def count_refused(tx: Transaction, refused: Sequence[Rejection]) -> None:
    """Counts what the door refused because it breaks the plan."""
    broken = list(_broken(refused))
    if broken:
        at = max(one.rejected_at for one in refused)
        await _count(tx, tx.resources.in_force, broken, at)


def _broken(refused: Iterable[Rejection]) -> Iterable[Broken]:
    for one in refused:
        for error in one.errors if one.reason == "plan_violation" else ():
            if "rule" in error and one.event_type is not None:
                yield Broken(one.event_type, error["field"], error["rule"], one.event_id, one.id)


async def _count(
    tx: Transaction, in_force: InForce, broken: Sequence[Broken], at: datetime
) -> None:
    await plan_counts.count(
        tx.driver,
        violations.count(broken, in_force.examples_max),
        at=at,
        rows_max=in_force.rows_max,
        examples_max=in_force.examples_max,
    )


async def put(
    tx: Transaction,
    document: dict[str, Any],
    *,
    note: str | None,
    by: str,
    base_version: int | None,
    now: datetime,
) -> PlanRow | None:
    """Stores a plan without complaints as the active version; None when the active one is not
    `base_version` (0: none), which another writer was quicker to replace."""
    version = await plans.lock(tx.driver)
    current = await plans.active(tx.driver)
    if base_version is not None and base_version != (current.version if current else 0):
        return None
    row = PlanRow(version, document, note, now, by, active=True)
    await plans.insert(tx.driver, row)
    return row


async def activate(tx: Transaction, version: int) -> PlanRow | None:
    """Makes a version the active one again; None when there is no such version."""
    await plans.lock(tx.driver)
    row = await plans.find(tx.driver, version)
    if row is None:
        return None
    await plans.activate(tx.driver, version)
    return replace(row, active=True)


async def forget(context: Context, now: datetime) -> bool:  # noqa: ARG001 — retention is wall time
    """Deletes counts of what was not seen for longer than the retention."""
    retention = timedelta(days=context.settings.plan_counts_retention_days)
    async with context.transaction() as tx:
        await plan_counts.forget(tx.driver, receipt_time(context.clock) - retention)
    return False
