"""Tiers: up at once, as of the event; down only at a review, with its reason."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.loyalty.domain.accounts import Account, Lot
from services.loyalty.domain.program import Program, Tier, add_months


@dataclass(frozen=True, slots=True)
class Move:
    """A change of tier: `points` qualified at the instant `at`."""

    previous: str
    current: str
    points: int
    reason: str
    at: datetime


def tier_for(tiers: Sequence[Tier], points: int) -> Tier:
    """The highest tier that these qualifying points reach."""
    return max((tier for tier in tiers if tier.points <= points), key=lambda tier: tier.points)


def rank(tiers: Sequence[Tier], name: str | None) -> int:
    """The place of a tier, 0 the lowest; one that is no longer offered counts as the lowest."""
    return next((place for place, tier in enumerate(tiers) if tier.name == name), 0)


def next_tier(tiers: Sequence[Tier], name: str | None) -> Tier | None:
    """The tier above, or None at the top."""
    place = rank(tiers, name) + 1
    return tiers[place] if place < len(tiers) else None


def qualifying_points(lots: Iterable[Lot], at: datetime, window_months: int) -> int:
    """Points earned within the window before `at`, net of what of them was reversed."""
    since = add_months(at, -window_months)
    return sum(
        lot.points - lot.reversed for lot in lots if lot.qualifying and since < lot.earned_at <= at
    )


def may_rise(program: Program, account: Account, gain: int = 0) -> bool:
    """Whether `gain` more points could lift the account, before its lots are looked at."""
    above = next_tier(program.tiers, account.tier)
    return above is not None and account.earned + gain >= above.points


def upgrade(
    program: Program, account: Account, lots: Iterable[Lot], at: datetime
) -> tuple[Account, Move | None]:
    """The account in the tier that its points now reach, when that is a higher one."""
    if not may_rise(program, account):
        return account, None
    points = qualifying_points(lots, at, program.tier_window_months)
    reached = tier_for(program.tiers, points)
    if rank(program.tiers, reached.name) <= rank(program.tiers, account.tier):
        return account, None
    window = program.tier_window_months
    reason = f"{points} points in {window} months reach {reached.name} ({reached.points})"
    return _moved(program, account, reached, points, reason, at)


def review(
    program: Program, account: Account, lots: Iterable[Lot], due: datetime
) -> tuple[Account, Move | None]:
    """Holds the review of the instant `due`: the account falls, or is reviewed again later."""
    points = qualifying_points(lots, due, program.tier_window_months)
    reached = tier_for(program.tiers, points)
    if rank(program.tiers, reached.name) < rank(program.tiers, account.tier):
        reason = f"review: {points} points in {program.tier_window_months} months"
        return _moved(program, account, reached, points, reason, due)
    return replace(account, review_at=add_months(due, program.tier_review_months)), None


def _moved(
    program: Program, account: Account, to: Tier, points: int, reason: str, at: datetime
) -> tuple[Account, Move | None]:
    previous = account.tier or program.tiers[0].name
    lowest = to.name == program.tiers[0].name
    review_at = None if lowest else add_months(at, program.tier_review_months)
    after = replace(account, tier=to.name, tier_since=at, review_at=review_at)
    return after, Move(previous, to.name, points, reason, at)
