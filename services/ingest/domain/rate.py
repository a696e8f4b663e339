"""How fast one key may post: a bucket that fills with time and may go into debt.

The number of events is known only after a request was read, so a request is let in while the bucket
is not in debt and pays afterwards.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Bucket:
    """`left` events at the monotonic second `at`."""

    per_second: float
    burst: float
    left: float
    at: float

    @classmethod
    def full(cls, per_second: float, burst_seconds: float, at: float) -> "Bucket":
        burst = per_second * burst_seconds
        return cls(per_second, burst, burst, at)

    def wait_seconds(self, at: float) -> float:
        """0 when a request may come in now, else the seconds until it may."""
        self.left = min(self.burst, self.left + (at - self.at) * self.per_second)
        self.at = at
        return max(0.0, -self.left / self.per_second)

    def pay(self, events: int) -> None:
        self.left -= events
