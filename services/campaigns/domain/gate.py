"""The gate: the one place that says whether a message goes out now, later or never.

Nothing is sent but through `check`, and it is asked again in the transaction that claims a send.
The order of the questions is the order of the reasons given: age, whether the journey goes on,
consent, address, cap, hours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from services.campaigns.domain.consent import Statement, permission
from services.campaigns.domain.policy import INTERNAL_CHANNELS, Cap, Policy
from services.campaigns.domain.profile import ADDRESS_TRAITS, Profile
from services.campaigns.domain.quiet import local_time, quiet_until, zone_of

Rule = Literal["left", "consent", "address", "stale", "cap", "quiet_hours", "open"]


@dataclass(frozen=True, slots=True)
class Send:
    """It may go out now."""

    reason: str
    rule: Rule = "open"


@dataclass(frozen=True, slots=True)
class Hold:
    """Not now; ask again at `until`."""

    rule: Rule
    reason: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Drop:
    """Never."""

    rule: Rule
    reason: str


Verdict: TypeAlias = Send | Hold | Drop


@dataclass(frozen=True, slots=True)
class Contact:
    """A message that went out, or is on its way."""

    channel: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Left:
    """The customer left the journey early, at `at`: nothing of it is sent after that."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to send; after `not_after` it would make no sense any more."""

    channel: str
    purpose: str
    not_after: datetime
    left: Left | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of the person: statements, profile, and messages of the longest window."""

    statements: Sequence[Statement] = ()
    profile: Profile = field(default_factory=Profile)
    contacts: Sequence[Contact] = ()


def check(wish: Wish, standing: Standing, policy: Policy, as_of: datetime) -> Verdict:
    """Whether `wish` goes out at `as_of`."""
    overdue = _stale(wish, as_of) or _left(wish, as_of)
    if overdue is not None:
        return overdue
    if wish.channel in INTERNAL_CHANNELS:
        return Send("a task for a colleague needs no consent and wakes nobody")
    refusal = _consent(wish, standing, policy) or _address(wish, standing)
    if refusal is not None:
        return refusal
    wait = _cap(wish, standing, policy, as_of) or _quiet(wish, standing, policy, as_of)
    if wait is None:
        allowed = permission(standing.statements, wish.channel, wish.purpose, _implied(policy))
        return Send(f"{allowed.reason}; within the caps and outside quiet hours")
    if wait.until >= wish.not_after:
        return Drop(
            wait.rule,
            f"{wait.reason}; by then ({_instant(wait.until)}) it would be too late "
            f"(it makes sense until {_instant(wish.not_after)})",
        )
    return wait


def not_needed(reason: str) -> str:
    """Why something planned is called off when its journey ended early."""
    return f"not needed any more: {reason}"


def _left(wish: Wish, as_of: datetime) -> Drop | None:
    if wish.left is None or as_of <= wish.left.at:
        return None
    return Drop("left", not_needed(wish.left.reason))


def _stale(wish: Wish, as_of: datetime) -> Drop | None:
    if as_of < wish.not_after:
        return None
    return Drop("stale", f"it made sense until {_instant(wish.not_after)} only")


def _consent(wish: Wish, standing: Standing, policy: Policy) -> Drop | None:
    allowed = permission(standing.statements, wish.channel, wish.purpose, _implied(policy))
    return None if allowed.granted else Drop("consent", allowed.reason)


def _address(wish: Wish, standing: Standing) -> Drop | None:
    trait = ADDRESS_TRAITS.get(wish.channel)
    if trait is None or standing.profile.text(trait) is not None:
        return None
    problem = standing.profile.problem(trait)
    if problem is None:
        return Drop("address", f"no address for {wish.channel} is known")
    return Drop("address", f"the address for {wish.channel} cannot be used: {problem}")


def _cap(wish: Wish, standing: Standing, policy: Policy, as_of: datetime) -> Hold | None:
    """The cap that is full for longest, if any."""
    holds = [
        hold
        for cap in policy.caps
        if cap.channel in {None, wish.channel}
        and (hold := _full(cap, standing.contacts, as_of)) is not None
    ]
    return max(holds, key=lambda hold: hold.until, default=None)


def _full(cap: Cap, contacts: Sequence[Contact], as_of: datetime) -> Hold | None:
    """Counted on both sides of `as_of`, so that no window can be overfull whatever the order."""
    window = timedelta(days=cap.days)
    counted = sorted(
        one.at
        for one in contacts
        if one.channel not in INTERNAL_CHANNELS
        and (cap.channel is None or one.channel == cap.channel)
        and abs(one.at - as_of) < window
    )
    if len(counted) < cap.messages:
        return None
    if cap.messages == 0:
        return Hold("cap", "the policy allows no messages here", as_of + window)
    free_at = max(counted[-cap.messages] + window, as_of + timedelta(seconds=1))
    return Hold("cap", f"{cap.words()}, and there were {len(counted)}", free_at)


def _quiet(wish: Wish, standing: Standing, policy: Policy, as_of: datetime) -> Hold | None:
    hours = next((span for name, span in policy.quiet_hours.items() if name == wish.channel), None)
    if hours is None:
        return None
    zone = zone_of(standing.profile.text("timezone"), policy.timezone)
    until = quiet_until(hours, zone, as_of)
    if until is None:
        return None
    return Hold(
        "quiet_hours",
        f"it is {local_time(as_of, zone):%H:%M} in {zone.key}; "
        f"nothing goes out from {hours.start:%H:%M} to {hours.end:%H:%M}",
        until,
    )


def _implied(policy: Policy) -> dict[str, frozenset[str]]:
    return {str(channel): purposes for channel, purposes in policy.implied_consent.items()}


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
