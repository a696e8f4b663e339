"""Sending as values: the message, what the provider answered, and what follows from that."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from shared.retry import Schedule

# Waits between attempts, in seconds: a minute, five, half an hour, two hours, eight.
RETRIES = Schedule((60, 300, 1_800, 7_200, 28_800))


@dataclass(frozen=True, slots=True)
class Mail:
    """An e-mail ready to go. `message_id` is the same at every attempt, so a repeat is known."""

    message_id: str
    sender: str
    recipient: str
    subject: str
    text: str
    html: str
    unsubscribe_url: str
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class Delivered:
    """The provider took it."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The provider did not take it. `permanent`: it never will. `reason` names no address."""

    reason: str
    permanent: bool


Outcome: TypeAlias = Delivered | Rejected


@dataclass(frozen=True, slots=True)
class Retry:
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """Sent."""


NextStep: TypeAlias = Done | Retry | GiveUp


def next_step(attempts: int, outcome: Outcome, now: datetime, chance: float) -> NextStep:
    """What to do after the `attempts`-th attempt; `chance` in [0, 1) spreads the waiting."""
    if isinstance(outcome, Delivered):
        return Done()
    if outcome.permanent:
        return GiveUp(outcome.reason)
    at = RETRIES.next_at(attempts, now, chance)
    if at is None:
        return GiveUp(f"{outcome.reason}; tried {attempts} times")
    return Retry(at, outcome.reason)


def has_line_break(text: str) -> bool:
    """Whether a header made of this text could smuggle in another header."""
    return any(character in text for character in "\r\n\0")
