"""Consent: what was said about a channel and purpose, by whom, when; and what follows from it.

Statements of the shop, the person and an operator are kept apart. The shop's keeps the instant
since when it says what it says, so that an old yes, repeated with every profile it sends, does not
undo the person's later no; only a new yes (it said no in between) or an operator's does.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

# Stands for every purpose of a channel.
ALL_PURPOSES = "*"

Origin = Literal["shop", "person", "operator"]


@dataclass(frozen=True, slots=True)
class Statement:
    """What was said at `at` (the shop: since `at`); `source` names the event or page."""

    channel: str
    purpose: str
    origin: Origin
    granted: bool
    source: str
    at: datetime

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.channel, self.purpose, self.origin)


@dataclass(frozen=True, slots=True)
class Permission:
    """Whether a message may be sent, and why in words."""

    granted: bool
    reason: str


Statements = Mapping[tuple[str, str, str], Statement]


def learn(known: Statements, said: Statement) -> Statement | None:
    """The statement to keep after `said`, or None when nothing changes.

    What happened before the known statement changes nothing; the shop repeating itself neither.
    """
    before = known.get(said.key)
    if before is None:
        return said
    repeated = said.origin == "shop" and before.granted == said.granted
    return None if repeated or said.at < before.at else said


def permission(
    statements: Iterable[Statement],
    channel: str,
    purpose: str,
    implied: Mapping[str, Collection[str]],
) -> Permission:
    """What the latest statement about the channel and purpose says; `implied` where none does.

    `implied` maps a channel to the purposes that the shop may assume a yes for. Of two statements
    made at one instant a withdrawal wins.
    """
    about = [
        one
        for one in statements
        if one.channel == channel and one.purpose in {purpose, ALL_PURPOSES}
    ]
    if not about:
        if purpose in implied.get(channel, ()):
            return Permission(True, f"consent to {purpose} by {channel} is implied by the shop")
        return Permission(False, f"no consent to {purpose} by {channel} is known")
    last = max(about, key=lambda one: (one.at, not one.granted))
    said = "given" if last.granted else "withdrawn"
    return Permission(
        last.granted,
        f"consent to {purpose} by {channel} was {said} on {last.at:%Y-%m-%d} ({last.source})",
    )


def stated(
    consent: Mapping[str, Mapping[str, bool]], origin: Origin, source: str, at: datetime
) -> Sequence[Statement]:
    """The statements of a `{channel: {purpose: granted}}` table, in a fixed order."""
    return [
        Statement(channel, purpose, origin, granted, source, at)
        for channel, purposes in sorted(consent.items())
        for purpose, granted in sorted(purposes.items())
    ]
