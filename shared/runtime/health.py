"""What a process knows of its own state: alive, ready, and why not.

Written by both threads. Single values are replaced whole; what is read to be written has a lock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock

from shared.clock import monotonic_seconds
from shared.runtime.log import TopicPartition

# The parts whose absence excuses a consumer that stands still. Others wait beside it.
_ROOTS = ("database", "kafka")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a partition stands, and how many records wait there."""

    position: int
    behind: int


@dataclass(slots=True)
class Health:
    """Alive means: every position moves while there is lag. Ready means: requests are served.

    Standing still is measured by a clock that stops while the database or Kafka is away, for
    `away_seconds_max` at most: a process that waits longer than that had better be a new one.
    """

    stall_seconds: float = 30.0
    away_seconds_max: float = 300.0
    draining: bool = False
    stopped_because: str | None = None
    waiting_for: dict[str, str] = field(default_factory=dict)
    lag_records: dict[str, int] = field(default_factory=dict)

    # partition → (where it stands, since when)
    _standing: dict[TopicPartition, tuple[Standing, float]] = field(default_factory=dict)
    # When the consumer last began something (None: this process has none).
    _worked_at: float | None = None
    _lock: Lock = field(default_factory=Lock)
    _away_since: float | None = None
    _away_seconds: float = 0.0

    def works(self) -> None:
        """The consumer begins a turn or a transaction: it does not hang in the one before."""
        self._worked_at = self._worked_seconds()

    def stands(self, standings: Mapping[TopicPartition, Standing]) -> None:
        """Where the partitions stand that are ours to move; others are forgotten.

        Standing still counts from the first sight of it.
        """
        now = self._worked_seconds()
        since = {
            partition: begun
            for partition, (before, begun) in self._standing.items()
            if before.behind > 0
            and partition in standings
            and before.position == standings[partition].position
        }
        self._standing = {one: (at, since.get(one, now)) for one, at in standings.items()}

    def begins_anew(self) -> None:
        """What stood still until now is being tried in another way."""
        self._standing = {}

    def waits(self, part: str, reason: str | None) -> None:
        """`part` (database, kafka, keys, …) is away for `reason`, or there again (None)."""
        if reason is None and part not in self.waiting_for:
            return
        with self._lock:
            waiting = dict(self.waiting_for)
            if reason is None:
                waiting.pop(part, None)
            else:
                waiting[part] = reason
            away = any(root in waiting for root in _ROOTS)
            if away and self._away_since is None:
                self._away_since = monotonic_seconds()
            elif not away and self._away_since is not None:
                self._away_seconds += self._excused(self._away_since)
                self._away_since = None
            self.waiting_for = waiting

    def stalled(self) -> str | None:
        """Why the process should be restarted, or None."""
        since = self._away_since
        if self.stopped_because or (
            since is not None and monotonic_seconds() - since < self.away_seconds_max
        ):
            return None
        now = self._worked_seconds()
        if self._worked_at is not None and now - self._worked_at >= self.stall_seconds:
            return f"the consumer has been in one batch for {now - self._worked_at:.0f} s"
        for partition, (at, begun) in self._standing.items():
            if at.behind > 0 and now - begun >= self.stall_seconds:
                return (
                    f"no progress on {partition.topic}/{partition.partition} for "
                    f"{now - begun:.0f} s with {at.behind} records waiting"
                )
        return None

    def unready(self) -> str | None:
        """Why no requests should come, or None."""
        if self.draining:
            return "draining"
        if self.stopped_because:
            return self.stopped_because
        if self.waiting_for:
            # What the others wait for comes first.
            parts = sorted(self.waiting_for.items(), key=lambda one: one[0] not in _ROOTS)
            return "; ".join(f"waiting for {part}: {reason}" for part, reason in parts)
        return self.stalled()

    def _worked_seconds(self) -> float:
        """Monotonic seconds without those in which there was nothing to work with."""
        with self._lock:
            away = self._away_seconds
            if self._away_since is not None:
                away += self._excused(self._away_since)
        return monotonic_seconds() - away

    def _excused(self, since: float) -> float:
        return min(monotonic_seconds() - since, self.away_seconds_max)
