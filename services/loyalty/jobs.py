"""What the clock starts."""

from services.loyalty.handlers import clock
from shared.runtime.service import Job


def jobs(period_seconds: float) -> tuple[Job, ...]:
    """Lots that end, tiers to review, and reservations nobody settled."""
    return (
        Job("expire_lots", period_seconds, clock.expire_lots),
        Job("review_tiers", period_seconds, clock.review_tiers),
        Job("release_reservations", period_seconds, clock.release_reservations),
    )
