"""What follows an attempt to deliver: done, again later, or never again."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal

from shared.retry import Schedule

Failure = Literal[
    "dns_error",
    "timeout",
    "refused",
    "reset",
    "tls",
    "network",
    "blocked_address",
    "redirect",
    "status",
    "unsigned",
]
# Seconds between attempts (Standard Webhooks 1.0.0): the first goes at once, then nine more in
# 75 h 35 min.
WAITS_SECONDS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
SCHEDULE = Schedule(WAITS_SECONDS, jitter_ratio=0.2)
GONE = 410
_SUCCESS, _REDIRECTION = 2, 3  # hundreds
RETRY_AFTER_SECONDS_MAX = 86_400.0
_THROTTLING = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one call ended. `failure` None means a 2xx; `answer` is the start of the answer's body.

    `retry_after` is the header as it came. A refusal by the outside world is this value, never an
    exception.
    """

    status: int | None
    failure: Failure | None
    duration_ms: int
    answer: str | None = None
    answer_bytes: int = 0
    retry_after: str | None = None

    @property
    def summary(self) -> str:
        """A few words without anything the receiver wrote."""
        if self.failure is None or self.failure in {"status", "redirect"}:
            return f"status {self.status}"
        return self.failure

    @property
    def bare(self) -> "Outcome":
        """Without anything that the receiver wrote."""
        return replace(self, answer=None, retry_after=None)


@dataclass(frozen=True, slots=True)
class Done:
    """The receiver took it."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again at this instant."""

    at: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further attempt. `gone` means that the receiver wants none of anything any more."""

    reason: str
    gone: bool = False


Step = Done | Retry | GiveUp


def failure_of(status: int) -> Failure | None:
    """Only 2xx is success; a redirect is a failure, because it may lead anywhere."""
    hundreds = status // 100
    if hundreds == _SUCCESS:
        return None
    return "redirect" if hundreds == _REDIRECTION else "status"


def next_step(
    attempts: int, outcome: Outcome, now: datetime, jitter: float, schedule: Schedule = SCHEDULE
) -> Step:
    """What follows the `attempts`-th attempt (1 is the first). `jitter` in [0, 1) is the dice.

    A `Retry-After` can only postpone, and no longer than the schedule would still go on.
    """
    assert attempts >= 1
    if outcome.failure is None:
        return Done()
    if outcome.status == GONE:
        return GiveUp("the receiver answered 410 Gone", gone=True)
    due = schedule.next_at(attempts, now, jitter)
    if due is None:
        return GiveUp(f"failed {attempts} times, last: {outcome.summary}")
    asked = asked_wait(outcome, now)
    if asked is None:
        return Retry(due)
    remaining = timedelta(seconds=_remaining_seconds(attempts, schedule.waits_seconds))
    return Retry(max(due, now + min(asked, remaining)))


def asked_wait(outcome: Outcome, now: datetime) -> timedelta | None:
    """How long a throttling answer asks us to wait, 24 h at most; None when it does not."""
    if outcome.status not in _THROTTLING or outcome.retry_after is None:
        return None
    seconds = _seconds(outcome.retry_after.strip(), now)
    if seconds is None or seconds <= 0:
        return None
    return timedelta(seconds=min(seconds, RETRY_AFTER_SECONDS_MAX))


def _seconds(text: str, now: datetime) -> float | None:
    """`Retry-After` is whole seconds or an HTTP date (RFC 9110, 10.2.3).

    The parser lets years and offsets through that no date can have; those overflow.
    """
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        instant = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return (aware - now).total_seconds()


def _remaining_seconds(attempts: int, waits_seconds: Sequence[int]) -> float:
    return float(sum(waits_seconds[attempts - 1 :]))


def jitter_of(delivery_id: str, attempts: int) -> float:
    """A number in [0, 1) that differs between deliveries and attempts, and never between runs."""
    digest = hashlib.blake2b(f"{delivery_id}\x1f{attempts}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big") / float(1 << 56)
