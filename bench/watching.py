"""Follows how many events were applied, and counts processor time between two points."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from bench.counter import Counter
from bench.processor import Meter, Usage
from bench.sandbox import Connection
from shared.events.topics import EVENTS
from stack.child import Child

_POLL_SECONDS = 0.02
_MICROSECONDS = 1_000_000


class Progress(Protocol):
    """How many events were applied so far, and whether nothing is left to be carried on."""

    async def applied(self) -> int: ...
    async def settled(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Applied:
    """The real worker's progress, from its positions; settled when its outbox is empty."""

    connection: Connection
    starts: Mapping[int, int]
    child: Child

    async def applied(self) -> int:
        _require_alive(self.child)
        total = await self.connection.fetchval(
            "SELECT coalesce(sum(next_offset), 0) FROM scoring.consumed WHERE topic = $1",
            EVENTS.name,
        )
        return int(total) - sum(self.starts.values())

    async def settled(self) -> bool:
        return not await self.connection.fetchval("SELECT EXISTS (TABLE scoring.outbox)")


@dataclass(frozen=True, slots=True)
class Counted:
    """A floor's own count; what it sends it waits for."""

    counter: Counter
    child: Child

    async def applied(self) -> int:
        _require_alive(self.child)
        return self.counter.value

    async def settled(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Window:
    """What a stretch of events took."""

    events: int
    seconds: float
    usage: Usage

    @property
    def cost(self) -> float:
        """Processor microseconds an event, of everything that was metered."""
        return self.usage.total / self.events * _MICROSECONDS

    def cost_of(self, name: str) -> float:
        """The part of one group."""
        return self.usage[name] / self.events * _MICROSECONDS

    @property
    def rate(self) -> float:
        """Events a second of wall time."""
        return self.events / self.seconds


def _require_alive(child: Child) -> None:
    if child.exit_code() is not None:
        raise RuntimeError(f"{child.name} ended: {child.last_words()}")


async def until(progress: Progress, events: int, seconds: float) -> int:
    """Waits for that many; answers how many there were. A `TimeoutError` says where it stood."""
    deadline = time.monotonic() + seconds
    while (applied := await progress.applied()) < events:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{applied} of {events} events applied within {seconds:.0f} s")
        await asyncio.sleep(_POLL_SECONDS)
    return applied


async def nothing_more() -> None:
    """A side that leaves nothing to be done."""


async def window(
    progress: Progress,
    meter: Meter,
    *,
    warm: int,
    end: int,
    seconds: float,
    afterwards: Callable[[], Awaitable[None]] = nothing_more,
) -> Window:
    """Measures from the `warm`th event to the `end`th, and until what these caused has left.

    What has to be done `afterwards` counts as processor time, but not in the rate.
    """
    first = await until(progress, warm, seconds)
    before, started = meter.read(), time.monotonic()
    last = await until(progress, end, seconds)
    finished = time.monotonic()
    while not await progress.settled():  # noqa: ASYNC110 — another process empties it
        await asyncio.sleep(_POLL_SECONDS)
    await afterwards()
    return Window(last - first, finished - started, meter.since(before))
