"""Consent: what was said about a channel and purpose, by whom, when; and what follows from it.

Statements of the shop, the person, an operator and the link in our messages are kept apart. The
shop's keeps the instant since when it says what it says, so that an old yes, repeated with every
profile it sends, does not undo the person's later no; only a new yes (it said no in between) or an
operator's does. The link's can be taken back, and then what was said elsewhere holds again.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

# Stands for every purpose of a channel.
ALL_PURPOSES = "*"

Origin = Literal["shop", "person", "operator", "link"]


@dataclass(frozen=True, slots=True)
class Statement:
    """What was said at `at` (the shop: since `at`); `source` names the event or page.

    Of the shop only: `repeated_at`, when it last said so, and `contrary_at`, when it last said the
    opposite before that.
    """

    channel: str
    purpose: str
    origin: Origin
    granted: bool
    source: str
    at: datetime
    repeated_at: datetime | None = None
    contrary_at: datetime | None = None

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

    Of what came by events the latest counts, whatever the order of arrival, and of one instant a
    no. Operators and the link are here when they speak, so of theirs the last one does.
    """
    before = known.get(said.key)
    if before is None:
        return said
    if said.origin == "shop":
        kept = _fold(before, said)
        return None if kept == before else kept
    no_news = said.at == before.at and said.granted and said.origin == "person"
    return None if said.at < before.at or no_news else said


def _fold(before: Statement, said: Statement) -> Statement:
    """The shop's statement after one more, which may come late.

    A repetition moves the beginning back, unless it said the opposite in between. The opposite in
    the midst of a stretch parts it; as what came between is forgotten, a yes then counts from the
    very instant of that no and a no from its last repetition, so that rather too little is sent.
    """
    last = before.repeated_at or before.at
    if said.granted == before.granted:
        parted = before.contrary_at is not None and said.at <= before.contrary_at
        since = before.at if parted else min(before.at, said.at)
        repeated = max(last, said.at)
        return replace(before, at=since, repeated_at=repeated if repeated > since else None)
    if said.at > last or (said.at == last and before.granted):
        return replace(said, contrary_at=last)
    contrary = max(said.at, before.contrary_at or said.at)
    since = before.at
    if said.at >= since:
        since = said.at if before.granted else last
    last_time = last if last > since else None
    return replace(before, at=since, repeated_at=last_time, contrary_at=contrary)


def together(said: Iterable[Statement]) -> list[Statement]:
    """What was said about a person, of whom several ids may have statements of their own.

    The shop's of a kind become one, as if they had come under one id: its old yes must not count
    as a new one because it is repeated under another id.
    """
    kinds: dict[tuple[str, str, str], list[Statement]] = {}
    for one in said:
        kinds.setdefault(one.key, []).append(one)
    return [
        one
        for some in kinds.values()
        for one in ([_as_one(some)] if some[0].origin == "shop" else some)
    ]


def _as_one(said: Sequence[Statement]) -> Statement:
    """Begins with the one that lasted longest, of two a no, and folds in what the others tell."""
    last, *others = sorted(
        said, key=lambda one: (one.repeated_at or one.at, not one.granted, one.at), reverse=True
    )
    for other in others:
        for told in _tellings(other):
            last = _fold(last, told)
    return last


def _tellings(kept: Statement) -> Iterable[Statement]:
    """The instants that are known of a statement, each as if it were told then."""
    plain = replace(kept, repeated_at=None, contrary_at=None)
    yield plain
    if kept.repeated_at is not None:
        yield replace(plain, at=kept.repeated_at)
    if kept.contrary_at is not None:
        yield replace(plain, at=kept.contrary_at, granted=not kept.granted)


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
