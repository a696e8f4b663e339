"""Where `now` comes from: the only module that reads the system's clock.

Everything that decides takes `now` as an argument; the runtime obtains it here and hands it down.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """A source of the present instant (aware, UTC)."""

    def now(self) -> datetime: ...

    def at(self, event_time: datetime) -> datetime:
        """The instant as of which an event that happened at `event_time` is judged."""
        ...

    def observe(self, event_time: datetime) -> None:
        """Learn that an event of this time has been admitted."""
        ...


class SystemClock:
    """Wall time. Events are judged as of the moment they are handled."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def at(self, event_time: datetime) -> datetime:
        return datetime.now(UTC)

    def observe(self, event_time: datetime) -> None:
        return


class ManualClock:
    """Time that moves when a test says so."""

    def __init__(self, start: datetime = EPOCH) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def at(self, event_time: datetime) -> datetime:
        return self._now

    def observe(self, event_time: datetime) -> None:
        return

    def set(self, instant: datetime) -> None:
        self._now = instant

    def advance(self, delta: timedelta) -> None:
        self._now += delta


class EventClock:
    """Time driven by the events: now is the latest event time seen, for replaying history.

    An event is judged as of its own time, so a replay decides the same whatever its speed.
    """

    def __init__(self, start: datetime = EPOCH) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def at(self, event_time: datetime) -> datetime:
        return event_time

    def observe(self, event_time: datetime) -> None:
        self._now = max(self._now, event_time)


def wall_now() -> datetime:
    """Wall time whatever the configured clock: for receipts, logs, leases and retention."""
    return datetime.now(UTC)


def unix_seconds() -> float:
    """Wall time in seconds since 1970, for metrics and signatures."""
    return time.time()


def monotonic_seconds() -> float:
    """Seconds of a clock that never steps back, for durations and deadlines."""
    return time.monotonic()
