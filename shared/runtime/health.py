"""What a process knows of its own state: alive, ready, and why not.

Written by the worker's thread and read by the HTTP thread; every value is replaced whole.
"""

from dataclasses import dataclass, field

from shared.clock import monotonic_seconds
from shared.runtime.log import TopicPartition

_ROOTS = ("database", "kafka")


@dataclass(slots=True)
class Health:
    """Alive means: every position moves while there is lag. Ready means: requests are served."""

    stall_seconds: float = 30.0
    draining: bool = False
    stopped_because: str | None = None
    waiting_for: dict[str, str] = field(default_factory=dict)
    lag_records: dict[str, int] = field(default_factory=dict)
    # partition → (position, lag, since when it stands there)
    _standing: dict[TopicPartition, tuple[int, int, float]] = field(default_factory=dict)

    # When the consumer last began something (None: this process has none).
    _worked_at: float | None = None

    def works(self) -> None:
        """The consumer begins a turn or a transaction: it does not hang in the one before."""
        self._worked_at = monotonic_seconds()

    def position(self, partition: TopicPartition, position: int, behind: int) -> None:
        """Where a partition stands; standing still counts from the first sight of it."""
        before = self._standing.get(partition)
        since = monotonic_seconds()
        if before is not None and before[0] == position and before[1] > 0:
            since = before[2]
        self._standing = self._standing | {partition: (position, behind, since)}

    def waits(self, part: str, reason: str | None) -> None:
        """`part` (database, kafka, keys, …) is away for `reason`, or there again (None)."""
        if reason is None and part not in self.waiting_for:
            return
        waiting = dict(self.waiting_for)
        if reason is None:
            waiting.pop(part, None)
        else:
            waiting[part] = reason
        self.waiting_for = waiting

    def stalled(self) -> str | None:
        """Why the process should be restarted, or None."""
        if self.stopped_because or self.waiting_for:
            return None
        now = monotonic_seconds()
        if self._worked_at is not None and now - self._worked_at >= self.stall_seconds:
            return f"the consumer has been in one batch for {now - self._worked_at:.0f} s"
        for partition, (_, behind, since) in self._standing.items():
            if behind > 0 and now - since >= self.stall_seconds:
                return (
                    f"no progress on {partition.topic}/{partition.partition} for "
                    f"{now - since:.0f} s with {behind} records waiting"
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
