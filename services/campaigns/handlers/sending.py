"""Sends what is due.

1. Claim, in a transaction: the gate is asked, the row leased, the claim numbered.
2. Call the provider outside any transaction, with the message id as the idempotency key.
3. Record the outcome in another transaction, as soon as the call ended, if the claim is still ours.

A crash between 2 and 3 is the only place where a message can go out again; it then carries the same
`Message-ID`, and the file provider does not write it twice. So that slowness is no crash, a call
begins in the first half of its lease only and lasts a quarter of it at most.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from itertools import islice

from services.campaigns.domain.sending import Outcome, Rejected
from services.campaigns.handlers.claiming import Claimed, claim
from services.campaigns.handlers.equipment import Tools
from services.campaigns.handlers.recording import record
from shared.clock import monotonic_seconds
from shared.retry import Backoff
from shared.runtime.failures import is_transient
from shared.runtime.service import Context

# With the waits of Backoff, about half a minute.
_RECORD_REPEATS = 12
# Parts of the lease: until when calls begin, and how long one lasts. The rest is for recording.
_BEGIN_SHARE, _CALL_SHARE = 0.5, 0.25
# Part of the process's time for draining; the consumer needs some too.
_DRAIN_SHARE = 0.5


async def send_due(context: Context, now: datetime) -> bool:
    """One round of claim, call and record; True when there was something to decide about."""
    tools: Tools = context.resources
    claimed_at = monotonic_seconds()
    async with context.transaction() as tx:
        decided, claimed = await claim(tx, tools, now)
    if claimed:
        await _to_the_end(context, _Calls(context, claimed_at), claimed)
    return decided > 0


async def _to_the_end(context: Context, calls: "_Calls", claimed: Sequence[Claimed]) -> None:
    """When the process is told to stop, no further call begins; those made are waited for and
    recorded while there is time, because what is not recorded is sent again."""
    running = asyncio.create_task(calls.run(claimed))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        calls.closing = True
        await asyncio.wait([running], timeout=context.settings.drain_seconds * _DRAIN_SHARE)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        raise


class _Calls:
    """The calls of one round, side by side."""

    def __init__(self, context: Context, claimed_at: float) -> None:
        tools: Tools = context.resources
        lease_seconds = tools.lease.total_seconds()
        self.closing = False
        self._context = context
        self._at_once = asyncio.Semaphore(tools.sends_at_once)
        self._begin_until = claimed_at + lease_seconds * _BEGIN_SHARE
        self._seconds_max = lease_seconds * _CALL_SHARE

    async def run(self, claimed: Sequence[Claimed]) -> None:
        """What has ended is recorded together while the others go on; one that breaks keeps no
        other's outcome from being kept."""
        calls = {asyncio.create_task(self._call(one)): one for one in claimed}
        broken: list[BaseException] = []
        try:
            while calls:
                await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
                outcomes = []
                for task in [one for one in calls if one.done()]:
                    one = calls.pop(task)
                    error = task.exception()
                    if error is not None:
                        broken.append(error)
                    elif (outcome := task.result()) is not None:
                        outcomes.append((one, outcome))
                if outcomes:
                    await _keep(self._context, outcomes)
        finally:
            for task in calls:
                task.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        for error in broken:
            raise error

    async def _call(self, one: Claimed) -> Outcome | None:
        """None when it was not made: the lease ends by itself."""
        context = self._context
        tools: Tools = context.resources
        async with self._at_once:
            if self.closing:
                return None
            if monotonic_seconds() > self._begin_until:
                return Rejected("the claim grew too old before the call", permanent=False)
            await context.failpoints.reach("effect.before_call")
            outcome = await tools.provider.send(one.mail, self._seconds_max)
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
