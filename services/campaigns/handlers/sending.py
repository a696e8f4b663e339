"""Sends what is due.

1. Claim, in a transaction: the gate is asked, the row leased, the claim numbered.
2. Call the provider outside any transaction, with the message id as the idempotency key.
3. Record the outcome in another transaction, if the claim is still ours.

A crash between 2 and 3 is the only place where a message can go out again; it then carries the same
`Message-ID`, and the file provider does not write it twice.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice

from services.campaigns.domain import decision
from services.campaigns.domain.attribution import first_order
from services.campaigns.domain.intervention import Intervention, data_of
from services.campaigns.domain.person import is_erased
from services.campaigns.domain.sending import (
    Done,
    GiveUp,
    NextStep,
    Outcome,
    Rejected,
    Retry,
    next_step,
)
from services.campaigns.handlers.changes import Cause, converted, tell
from services.campaigns.handlers.claiming import Claimed, claim
from services.campaigns.handlers.equipment import Tools
from services.campaigns.store import decisions, interventions, people
from shared.clock import monotonic_seconds
from shared.events.campaigns import InterventionFailed, InterventionSent
from shared.retry import Backoff
from shared.runtime.db import Transaction
from shared.runtime.failures import is_transient
from shared.runtime.service import Context

_CHANCES = 10_000
# With the waits of Backoff, about half a minute.
_RECORD_REPEATS = 12


async def send_due(context: Context, now: datetime) -> bool:
    """One round of claim, call and record; True when there was something to decide about."""
    tools: Tools = context.resources
    claimed_at = monotonic_seconds()
    async with context.transaction() as tx:
        decided, claimed = await claim(tx, tools, now)
    if claimed:
        await _deliver(context, claimed, claimed_at)
    return decided > 0


async def _deliver(context: Context, claimed: Sequence[Claimed], claimed_at: float) -> None:
    """Calls side by side. One that breaks does not keep the others' outcomes from being kept."""
    tools: Tools = context.resources
    at_once = asyncio.Semaphore(tools.sends_at_once)
    ended = await asyncio.gather(
        *(_call(context, one, claimed_at, at_once) for one in claimed), return_exceptions=True
    )
    outcomes = [
        (one, outcome)
        for one, outcome in zip(claimed, ended, strict=True)
        if not isinstance(outcome, BaseException)
    ]
    if outcomes:
        await _keep(context, outcomes)
    for broken in ended:
        if isinstance(broken, BaseException):
            raise broken


async def _call(
    context: Context, one: Claimed, claimed_at: float, at_once: asyncio.Semaphore
) -> Outcome:
    tools: Tools = context.resources
    async with at_once:
        if monotonic_seconds() - claimed_at > tools.lease.total_seconds() / 2:
            return Rejected("the claim grew too old before the call", permanent=False)
        await context.failpoints.reach("effect.before_call")
        outcome = await tools.provider.send(one.mail)
        await context.failpoints.reach("effect.after_call")
        return outcome


async def _keep(context: Context, outcomes: Sequence[tuple[Claimed, Outcome]]) -> None:
    """Records, and waits for a database that is away: forgetting would mean sending again.

    When a commit went through unnoticed, the fence of the claim makes the repetition harmless.
    """
    for wait_seconds in islice(Backoff().delays(), _RECORD_REPEATS):
        try:
            async with context.transaction() as tx:
                await record(tx, outcomes)
        except Exception as error:
            if not is_transient(error):
                raise
            await asyncio.sleep(wait_seconds)
        else:
            return
    async with context.transaction() as tx:
        await record(tx, outcomes)


async def record(tx: Transaction, outcomes: Sequence[tuple[Claimed, Outcome]]) -> None:
    """Writes down what became of claims that are still ours."""
    wall = await interventions.database_now(tx.driver)
    await people.lock_known(tx.driver, (one.intervention.customer_id for one, _ in outcomes))
    notes: list[decision.Decision] = []
    for claimed, outcome in outcomes:
        one = replace(claimed.intervention, attempts=claimed.intervention.attempts + 1)
        step = next_step(one.attempts, outcome, wall, _chance(one))
        note = await _record(tx, one, step, claimed.reason)
        if note is not None:
            notes.append(note)
    await decisions.save(tx.driver, notes)


async def _record(
    tx: Transaction, one: Intervention, step: NextStep, allowed_because: str
) -> decision.Decision | None:
    assert one.sent_at is not None
    after = _after(one, step)
    leased_until = step.at if isinstance(step, Retry) else None
    customer = await interventions.save_if_claimed(tx.driver, after, leased_until)
    if customer is None or is_erased(customer):
        # The lease ran out and somebody else went on, or the person was erased meanwhile.
        return None
    if isinstance(step, Done):
        await _sent(tx, after)
        return _note(after, "sent", f"the provider took it; {allowed_because}")
    if isinstance(step, GiveUp):
        data = data_of(after, reason=step.reason, rule="delivery")
        tell(tx, InterventionFailed, Cause(one.cause), one.customer_id, one.sent_at, data)
        return _note(after, "failed", step.reason)
    return _note(after, "retried", step.reason, until=step.at)


def _after(one: Intervention, step: NextStep) -> Intervention:
    if isinstance(step, Done):
        return replace(one, state="sent")
    if isinstance(step, GiveUp):
        return replace(one, state="failed", rule="delivery", reason=step.reason)
    return one


async def _sent(tx: Transaction, one: Intervention) -> None:
    assert one.sent_at is not None
    tell(tx, InterventionSent, Cause(one.cause), one.customer_id, one.sent_at, data_of(one))
    # On the event clock orders may have come before this was recorded.
    person = (await people.find(tx.driver, [one.customer_id]))[one.customer_id]
    orders = await interventions.open_orders(tx.driver, person.ids, one.sent_at)
    order = first_order(one, orders)
    if order is not None:
        await interventions.save_if_sent(tx.driver, converted(tx, one, order))
        await interventions.credit(tx.driver, [order])


def _note(
    one: Intervention, outcome: decision.Outcome, reason: str, until: datetime | None = None
) -> decision.Decision:
    assert one.sent_at is not None
    return decision.about(
        one,
        "delivery",
        outcome,
        "delivery",
        reason,
        one.sent_at,
        until=until,
        ordinal=one.attempts,
    )


def _chance(one: Intervention) -> float:
    """Spreads retries, the same way whenever it is asked: taken from the id and the attempt."""
    return (int(one.intervention_id.replace("-", "")[:12], 16) + one.attempts) % _CHANCES / _CHANCES
