"""The delivery job: lease, call, record. No transaction is open while a receiver thinks.

1. Record what has ended since the last run.
2. Lease what is due and has a free slot, in the same transaction: it is ours for `lease_seconds`.
3. Call, outside any transaction, signed anew with the instant of this attempt.

A crash between 3 and 1 leaves the lease to run out, and the call is made once more with the same
`webhook-id`, by which the receiver knows it.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from services.webhooks.domain import signing
from services.webhooks.domain.delivery import Outcome
from services.webhooks.domain.fairness import allot, failing_max
from services.webhooks.handlers.courier import Call, Courier, Finished, Make
from services.webhooks.handlers.means import Means
from services.webhooks.handlers.record import record
from services.webhooks.handlers.timing import wall_time
from services.webhooks.store import endpoints, leases
from services.webhooks.store.leases import Due
from services.webhooks.store.rows import Driver
from shared.clock import SystemClock, wall_now
from shared.ids import EndpointId
from shared.runtime import metrics
from shared.runtime.db import Database, Transaction
from shared.runtime.failures import is_transient
from shared.runtime.service import Context
from shared.runtime.telemetry import logger, told

_log = logger("deliver")
Begin = Callable[[], AbstractAsyncContextManager[Transaction]]

# While calls are in flight the job looks this often for other work.
_LOOK_SECONDS = 0.1
# One or two failures may be a hiccup; after that an endpoint that hangs must not hold many slots.
_FAILURES_TO_SLOW_DOWN = 3


async def deliver_due(context: Context, now: datetime) -> bool:
    """One round; True while calls are in flight or recorded outcomes may have made room."""
    means: Means = context.resources
    courier = means.courier
    now = wall_time(context.clock, now)
    ended = courier.finished()
    if ended or await _something_due(context, means, now):
        for call in await _round(context, courier, ended, now):
            courier.start(call, _make(context, means))
    await courier.landing(_LOOK_SECONDS)
    return not courier.idle


async def _round(
    context: Context, courier: Courier, ended: Sequence[Finished], now: datetime
) -> Sequence[Call]:
    """Records and leases in one transaction; what cannot be recorded must not hold up the rest."""
    try:
        async with context.transaction() as tx:
            if ended:
                await record(tx, ended, context.settings, now)
            calls = await _lease(tx, context.settings, now)
    except Exception as error:
        if is_transient(error) or not ended:
            raise
        _log.error("outcomes are recorded one by one", **told(error))
        await _one_by_one(context.transaction, courier, ended, context.settings, now)
        return ()
    courier.recorded(ended)
    return calls


async def _one_by_one(
    transaction: Begin, courier: Courier, ended: Sequence[Finished], settings: Any, now: datetime
) -> None:
    """Each outcome by itself, if need be without the receiver's words, if need be not at all: then
    it is as after a crash, and the call is repeated when its lease ends."""
    for one in ended:
        for outcome in (one.outcome, one.outcome.bare):
            try:
                async with transaction() as tx:
                    await record(tx, [replace(one, outcome=outcome)], settings, now)
                break
            except Exception as error:
                if is_transient(error):
                    raise
                _log.error("outcome not recorded", delivery=one.call.lease.id, **told(error))
        courier.recorded([one])


async def _something_due(context: Context, means: Means, now: datetime) -> bool:
    """All that an idle run does: one look, without a lock."""
    courier = means.courier
    if courier.free <= 0:
        return False
    async with context.read() as session:
        return await leases.any_due(session.driver, now, courier.full())


async def _lease(tx: Transaction, settings: Any, now: datetime) -> Sequence[Call]:
    """Calls that are ours to make now, as many as there are free slots."""
    means: Means = tx.resources
    courier = means.courier
    if courier.free <= 0:
        return ()
    due = {one.id: one for one in await leases.lock_due(tx.driver, now, courier.full())}
    failing = [one.id for one in due.values() if _is_failing(one)]
    slots = allot(
        {one.id: _slots(one, courier, settings, now) for one in due.values()},
        failing,
        failing_max(settings.calls_in_flight_max) - courier.failing,
        now,
    )
    until = now + timedelta(seconds=settings.lease_seconds)
    leased = await leases.lease(tx.driver, slots, courier.free, now, until)
    taken = Counter(one.endpoint_id for one in leased)
    await _pay(tx.driver, due, taken, now)
    sealed = await endpoints.sealed_secrets(tx.driver, list(taken), now)
    keys = {
        endpoint: [key for one in rows if (key := means.vault.open(one, endpoint)) is not None]
        for endpoint, rows in sealed.items()
    }
    return [
        Call(
            one,
            due[one.endpoint_id].url,
            keys.get(one.endpoint_id, []),
            now,
            _is_failing(due[one.endpoint_id]),
        )
        for one in leased
    ]


def _is_failing(due: Due) -> bool:
    return due.failures >= _FAILURES_TO_SLOW_DOWN


def _slots(due: Due, courier: Courier, settings: Any, now: datetime) -> int:
    """Free slots of an endpoint: few while it keeps failing, and no more than its pace allows."""
    free = courier.free_of(due.id)
    if _is_failing(due):
        free = min(free, settings.calls_per_failing_endpoint_max - courier.busy_of(due.id))
    return max(0, free if due.pace is None else min(free, due.pace.allowance(now)))


async def _pay(
    driver: Driver, due: Mapping[EndpointId, Due], taken: Mapping[EndpointId, int], now: datetime
) -> None:
    paces = {
        endpoint: pace.after(calls, now)
        for endpoint, calls in taken.items()
        if (pace := due[endpoint].pace) is not None
    }
    await leases.save_paces(driver, paces)


def _make(context: Context, means: Means) -> Make:
    async def make(call: Call) -> Outcome:
        if not call.keys:
            return Outcome(None, "unsigned", 0)
        headers = signing.headers(
            call.keys, call.lease.message_id, int(call.at.timestamp()), call.lease.body
        )
        await context.failpoints.reach("effect.before_call")
        outcome = await means.sender.post(call.url, headers, call.lease.body)
        await context.failpoints.reach("effect.after_call")
        metrics.DELIVERIES.labels(outcome.failure or "delivered").inc()
        return outcome

    return make


async def drain(courier: Courier, database: Database, settings: Any) -> None:
    """At the end of the process: waits for calls in flight and records them, while it can."""
    await courier.drain(settings.drain_seconds)
    ended = courier.finished()
    if not ended:
        return

    def transaction() -> AbstractAsyncContextManager[Transaction]:
        return database.transaction(SystemClock())

    try:
        await _record_last(transaction, courier, ended, settings)
    except Exception as error:
        if not is_transient(error):
            raise
        lost = len(courier.finished())
        _log.warning("outcomes lost, calls will be repeated", calls=lost)


async def _record_last(
    transaction: Begin, courier: Courier, ended: Sequence[Finished], settings: Any
) -> None:
    now = wall_now()
    try:
        async with transaction() as tx:
            await record(tx, ended, settings, now)
    except Exception as error:
        if is_transient(error):
            raise
        await _one_by_one(transaction, courier, ended, settings, now)
    else:
        courier.recorded(ended)
