"""Retry schedules as data, and the pure arithmetic of waiting."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential waiting: `first_seconds`, doubled each time, never above `max_seconds`."""

    first_seconds: float = 0.05
    max_seconds: float = 5.0
    factor: float = 2.0

    def delays(self) -> Iterator[float]:
        """Seconds to wait before each further try, without end."""
        delay = self.first_seconds
        while True:
            yield delay
            delay = min(delay * self.factor, self.max_seconds)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Waits between the attempts of a delivery, in seconds; it ends when they are used up."""

    waits_seconds: Sequence[int]
    jitter_ratio: float = 0.2

    def next_at(self, attempts: int, now: datetime, chance: float) -> datetime | None:
        """When to try again after `attempts` failed ones, or None when the schedule is over.

        `chance` in [0, 1) spreads the wait evenly within ± `jitter_ratio`.
        """
        if attempts < 1 or attempts > len(self.waits_seconds):
            return None
        spread = 1 + self.jitter_ratio * (2 * chance - 1)
        return now + timedelta(seconds=self.waits_seconds[attempts - 1] * spread)
