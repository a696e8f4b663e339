"""When something was received: wall time, also where the events drive the clock."""

from datetime import datetime

from shared.clock import EPOCH, Clock, EventClock, wall_now


def receipt_time(clock: Clock) -> datetime:
    """The instant to write on receipts, keys and retention, and before which the future begins."""
    return wall_now() if isinstance(clock, EventClock) else clock.now()


def default_time(clock: Clock) -> datetime:
    """When an event without a time of its own happened: now, on whatever clock is in force."""
    now = clock.now()
    return receipt_time(clock) if now == EPOCH else now
