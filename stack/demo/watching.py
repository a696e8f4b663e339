"""How far the platform is with what it was sent, from what every service tells anybody.

While history is sent, the counters of `/metrics` say how many events have been handled, so that the
shop does not run ahead of the decisions about it. At the end `/readyz` (no lag), the outboxes and
still counters say that everything has been done.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import asyncpg
import httpx

from shared.clock import monotonic_seconds
from shared.events.topics import EVENTS, RECEIVED, SERVICES

POLL_SECONDS = 0.25
# Longer than the period of any job and of the lag's own report.
STILL_SECONDS = 8.0
_HANDLED = re.compile(
    r'^tenure_consumer_events_total\{outcome="(\w+)",topic="([\w.]+)"\} (\S+)$', re.MULTILINE
)

Counts = dict[tuple[str, str], float]


def handled(exposition: str) -> Counts:
    """Events handled so far by (topic, outcome), from Prometheus' text format."""
    found = _HANDLED.findall(exposition)
    return {(topic, outcome): float(value) for outcome, topic, value in found}


@dataclass(slots=True)
class Counters:
    """Sums of one process's counters that survive its restarts."""

    totals: Counts = field(default_factory=dict)
    _last: Counts | None = None

    def observe(self, now: Counts) -> None:
        """What was there at the first sight belongs to an earlier history."""
        if self._last is not None:
            for name, value in now.items():
                before = self._last.get(name, 0.0)
                grown = value - before if value >= before else value
                self.totals[name] = self.totals.get(name, 0.0) + grown
        self._last = now

    def of(self, topic: str | None = None, outcome: str | None = None) -> float:
        """Events of a topic, or of any, with an outcome, or with any."""
        return sum(
            value
            for (name, ended), value in self.totals.items()
            if topic in {None, name} and outcome in {None, ended}
        )


@dataclass(slots=True)
class Watch:
    """Looks at all processes of a platform. `processes`: name → URL; `services`: name → service."""

    client: httpx.AsyncClient
    processes: Mapping[str, str]
    services: Mapping[str, str]
    database_url: str
    _counters: dict[str, Counters] = field(default_factory=dict)

    async def look(self) -> None:
        """Takes the counters of every process that answers."""
        await asyncio.gather(*(self._look_at(name) for name in self.processes))

    async def _look_at(self, name: str) -> None:
        try:
            answer = await self.client.get(f"{self.processes[name]}/metrics")
        except httpx.TransportError:
            return
        self._counters.setdefault(name, Counters()).observe(handled(answer.text))

    def backlog(self, accepted: int) -> int:
        """Events that somebody still has to handle, of `accepted` ones.

        Accepted but not admitted yet, plus admitted but not handled by the slowest reader.
        """
        received = self._of("ingest")
        admitted = self._of("ingest", RECEIVED.name, "applied")
        slowest = min(self._of(reader, EVENTS.name) for reader in EVENTS.readers)
        return max(0, round(accepted - received)) + max(0, round(admitted - slowest))

    def _of(self, service: str, topic: str | None = None, outcome: str | None = None) -> float:
        return sum(
            counters.of(topic, outcome)
            for name, counters in self._counters.items()
            if self.services[name] == service
        )

    def work_done(self) -> float:
        """A number that grows whenever anybody handles anything."""
        return sum(one.of() for one in self._counters.values())

    def dead(self) -> int:
        """Events that went to somebody's dead letters since the first look."""
        return round(sum(one.of(outcome="dead") for one in self._counters.values()))

    async def lag(self) -> int | None:
        """Records not read yet on all topics by all services; None while somebody is not ready."""
        answers = await asyncio.gather(*(self._lag_of(url) for url in self.processes.values()))
        return None if None in answers else sum(one for one in answers if one is not None)

    async def _lag_of(self, url: str) -> int | None:
        try:
            answer = await self.client.get(f"{url}/readyz")
        except httpx.TransportError:
            return None
        if not answer.is_success:
            return None
        lags: dict[str, int] = answer.json()["lag_records"]
        return sum(lags.values())

    async def waiting_to_leave(self) -> int | None:
        """Events in the outboxes of all services; None while the database does not answer."""
        try:
            database = await asyncpg.connect(self.database_url, timeout=5)
        except (OSError, asyncpg.PostgresError):
            return None
        try:
            counts: list[int] = [
                await database.fetchval(f"SELECT count(*) FROM {service}.outbox")  # noqa: S608
                for service in SERVICES
            ]
        finally:
            await database.close()
        return sum(counts)


@dataclass(slots=True)
class Pace:
    """Keeps the sender from running ahead: at most `backlog_max` events in the pipes.

    A backlog is an estimate: what turns out to be known already, or not acceptable after all, never
    reaches the readers. So events that nobody handles for `stuck_seconds` are taken for ghosts.
    """

    watch: Watch
    backlog_max: int
    stuck_seconds: float = 4.0
    backlog: int = 0
    _ghosts: int = 0

    async def room(self, accepted: int) -> None:
        """Returns when there is room again."""
        moved_at, before = monotonic_seconds(), -1
        while True:
            await self.watch.look()
            estimate = self.watch.backlog(accepted)
            self._ghosts = min(self._ghosts, estimate)
            self.backlog = estimate - self._ghosts
            if self.backlog <= self.backlog_max:
                return
            if estimate != before:
                moved_at, before = monotonic_seconds(), estimate
            elif monotonic_seconds() - moved_at > self.stuck_seconds:
                self._ghosts = estimate
            await asyncio.sleep(POLL_SECONDS)


async def settled(
    watch: Watch,
    progress: Callable[[str], None],
    also: Callable[[], int],
    *,
    seconds_max: float,
    still_seconds: float = STILL_SECONDS,
) -> bool:
    """Waits until nothing is left to do: no lag, empty outboxes, and all counters still.

    `also` is one more counter (deliveries that arrived). Returns whether it came to rest in time.
    """
    since, before = monotonic_seconds(), (-1.0, -1)
    until = since + seconds_max
    while monotonic_seconds() < until:
        await watch.look()
        lag, leaving = await watch.lag(), await watch.waiting_to_leave()
        now = (watch.work_done(), also())
        if now != before or lag != 0 or leaving != 0:
            since, before = monotonic_seconds(), now
        progress(f"{_count(lag)} records to read, {_count(leaving)} to send, {now[1]:,} delivered")
        if monotonic_seconds() - since >= still_seconds:
            return True
        await asyncio.sleep(POLL_SECONDS)
    return False


def _count(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"
