"""Which time webhooks live by.

Deliveries touch the real world: a receiver that asks for ten minutes means ten minutes on the wall,
and signatures are checked against it. So retries, leases and secrets follow wall time even when the
platform replays history on the event clock. Any other clock (the system's, or a test's) is wall
time as far as this service is concerned.
"""

from datetime import datetime

from shared.clock import Clock, EventClock, wall_now


def wall_time(clock: Clock, now: datetime | None = None) -> datetime:
    """`now` of the given clock, unless that clock follows the events: then wall time."""
    if isinstance(clock, EventClock):
        return wall_now()
    return clock.now() if now is None else now
