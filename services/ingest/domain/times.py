"""When an event happened, where the clock that says so may be wrong.

A client with a clock of its own says when it sent (`sent_at`). By how much that differs from when
we received is the clock's skew: `happened = received - (sent - claimed)`. Below a threshold of
minutes the difference is the network's delay, and what the client says stands.
Source: the formula of Segment and Snowplow; the threshold answers PostHog's issue 98250, where
delays were folded into the times.

All events of one request are moved by the same, so none overtakes another.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
"""Before this nothing has happened: history goes back no further."""

_NONE = timedelta(0)
_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


class Correction(NamedTuple):
    """What is done to all times of one request: `add` to each, and none after `latest`."""

    add: timedelta
    latest: datetime


def correction(
    sent_at: datetime | None, received_at: datetime, *, skew_min: timedelta, future_max: timedelta
) -> Correction:
    """The correction of a request that was sent at `sent_at` by the client's clock.

    Nothing is added for a skew below `skew_min`, or where no `sent_at` tells it; nothing happens
    later than `future_max` after the receipt.
    """
    skew = received_at - sent_at if sent_at is not None else _NONE
    return Correction(skew if abs(skew) >= skew_min else _NONE, received_at + future_max)


def corrected(claimed: datetime, how: Correction) -> datetime:
    """When an event happened of which the client says that it happened at `claimed`.

    Never decreases as `claimed` grows. May lie before `EARLIEST`; that is the caller's to refuse.
    """
    try:
        return min(claimed + how.add, how.latest)
    except OverflowError:
        return how.latest if how.add > _NONE else _BEFORE_ALL
