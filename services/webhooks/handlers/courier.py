"""Calls in flight: who is being called, how many at once, and what came of it.

The courier lives in the event loop of the jobs role and outlasts single runs of the job, so that a
receiver that hangs holds its own slots and nothing else. It touches no database: the job leases and
records, the courier calls.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.webhooks.domain.delivery import Outcome
from services.webhooks.store.leases import Lease
from shared.ids import EndpointId
from shared.runtime.telemetry import logger

_log = logger("courier")


@dataclass(frozen=True, slots=True)
class Call:
    """A leased delivery with what the call needs. `keys` newest first; `failing`: its endpoint
    has been for a while."""

    lease: Lease
    url: str
    keys: Sequence[bytes]
    at: datetime
    failing: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """A call and how it ended."""

    call: Call
    outcome: Outcome


Make = Callable[[Call], Awaitable[Outcome]]


class Courier:
    """At most `calls_max` calls at once, and `per_endpoint_max` to one endpoint (per replica)."""

    def __init__(self, calls_max: int, per_endpoint_max: int) -> None:
        self._calls_max = calls_max
        self._per_endpoint_max = per_endpoint_max
        self._flying: dict[asyncio.Task[Any], Call] = {}
        self._busy: Counter[EndpointId] = Counter()
        self._finished: list[Finished] = []
        self._landed = asyncio.Event()

    @property
    def idle(self) -> bool:
        """Nothing in flight and nothing to record."""
        return not self._flying and not self._finished

    @property
    def free(self) -> int:
        """How many further calls may start."""
        return self._calls_max - len(self._flying)

    def free_of(self, endpoint: EndpointId) -> int:
        """How many further calls to this endpoint may start."""
        return self._per_endpoint_max - self._busy[endpoint]

    def busy_of(self, endpoint: EndpointId) -> int:
        """How many calls to this endpoint are in flight."""
        return self._busy[endpoint]

    @property
    def failing(self) -> int:
        """How many calls to failing endpoints are in flight."""
        return sum(call.failing for call in self._flying.values())

    def full(self) -> list[EndpointId]:
        """Endpoints without a free slot."""
        return [one for one, calls in self._busy.items() if calls >= self._per_endpoint_max]

    def start(self, call: Call, make: Make) -> None:
        """Begins a call; its outcome will be among the finished."""
        task = asyncio.create_task(self._fly(call, make))
        self._flying[task] = call
        self._busy[call.lease.endpoint_id] += 1

    async def _fly(self, call: Call, make: Make) -> None:
        try:
            outcome = await make(call)
            self._finished.append(Finished(call, outcome))
        except Exception as error:
            # As after a crash: nothing is known, so the lease runs out and the call is repeated.
            _log.error("call not finished", error=type(error).__name__)
        finally:
            self._land(asyncio.current_task())

    def _land(self, task: "asyncio.Task[Any] | None") -> None:
        """Frees the slot in the same step that tells of the outcome, so that both are seen."""
        assert task is not None
        endpoint = self._flying.pop(task).lease.endpoint_id
        self._busy[endpoint] -= 1
        if not self._busy[endpoint]:
            del self._busy[endpoint]
        self._landed.set()

    def finished(self) -> Sequence[Finished]:
        """What waits to be recorded; it stays here until `recorded`."""
        return tuple(self._finished)

    def recorded(self, done: Sequence[Finished]) -> None:
        """These are in the database now."""
        known = {id(one) for one in done}
        self._finished = [one for one in self._finished if id(one) not in known]

    async def landing(self, seconds_max: float) -> None:
        """Until a call has ended, or for so long; at once when there is something to record."""
        self._landed.clear()
        if self._finished or not self._flying:
            return
        try:
            async with asyncio.timeout(seconds_max):
                await self._landed.wait()
        except TimeoutError:
            return

    async def drain(self, seconds_max: float) -> None:
        """Waits for what is in flight; what takes longer is cut and will be repeated."""
        if self._flying:
            await asyncio.wait(list(self._flying), timeout=seconds_max)
        cut = list(self._flying)
        for task in cut:
            task.cancel()
        await asyncio.gather(*cut, return_exceptions=True)
