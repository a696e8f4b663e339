"""The program itself: its rules and tiers, what it owes, and whether its books are right."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar

from fastapi import APIRouter
from pydantic import BaseModel

from services.loyalty.store import auditing, liabilities
from shared.runtime.http import (
    CanRead,
    Ctx,
    Cursor,
    Limit,
    Page,
    Problem,
    decode_cursor,
    encode_cursor,
    unavailable,
)

router = APIRouter(prefix="/v1", tags=["program"])
Listed = TypeVar("Listed")


class EarningRuleView(BaseModel):
    """The first active rule by priority that fits an order earns its points."""

    name: str
    event_type: Literal["order.completed"] = "order.completed"
    points_per_unit: int
    currency: str | None
    condition: str | None
    priority: int
    active: bool
    qualifying: bool


class TierView(BaseModel):
    name: str
    points: int


class Tiers(Page[TierView]):
    """Qualifying points of the last `window_months`; falling waits for a review."""

    window_months: int
    review_months: int


class ExpiryMonth(BaseModel):
    month: str
    points: int


class LiabilityView(BaseModel):
    """`outstanding` is what members can still spend, now or once reserved points come back."""

    as_of: datetime
    outstanding: int
    active: int
    reserved: int
    debt: int
    members: int
    by_expiry_month: list[ExpiryMonth]
    issued: int
    reversed: int
    redeemed: int
    expired: int
    written_off: int


class CheckView(BaseModel):
    name: str
    ok: bool
    differences: int
    first: list[dict[str, Any]]


class AuditView(BaseModel):
    """`ok` when every balance equals its entries and its remaining lots."""

    ok: bool
    as_of: datetime
    accounts: int
    entries: int
    lots: int
    checks: list[CheckView]


@router.get("/earning-rules")
async def get_earning_rules(
    context: Ctx, _: CanRead, limit: Limit = 50, cursor: Cursor = None
) -> Page[EarningRuleView]:
    """What earns points."""
    rules = sorted(context.resources.program.earning_rules, key=lambda one: one.priority)
    shown, following = _piece(rules, limit, cursor)
    return Page(
        items=[
            EarningRuleView(
                name=rule.name,
                points_per_unit=rule.points_per_unit,
                currency=rule.currency,
                condition=rule.condition,
                priority=rule.priority,
                active=rule.active,
                qualifying=rule.qualifying,
            )
            for rule in shown
        ],
        next_cursor=following,
    )


@router.get("/tiers")
async def get_tiers(context: Ctx, _: CanRead, limit: Limit = 50, cursor: Cursor = None) -> Tiers:
    """The tiers, lowest first."""
    program = context.resources.program
    shown, following = _piece(program.tiers, limit, cursor)
    return Tiers(
        items=[TierView(name=tier.name, points=tier.points) for tier in shown],
        next_cursor=following,
        window_months=program.tier_window_months,
        review_months=program.tier_review_months,
    )


@router.get("/liability")
async def get_liability(context: Ctx, _: CanRead) -> LiabilityView:
    """Points the shop owes, by the month they end, and how they came about."""
    now = context.clock.now()
    async with context.read() as session:
        owed = await liabilities.liability(session.driver, now)
    return LiabilityView(
        as_of=now,
        outstanding=owed.active + owed.reserved,
        active=owed.active,
        reserved=owed.reserved,
        debt=owed.debt,
        members=owed.members,
        by_expiry_month=[
            ExpiryMonth(month=month, points=points)
            for month, points in owed.by_expiry_month.items()
        ],
        issued=owed.issued,
        reversed=owed.reversed,
        redeemed=owed.redeemed,
        expired=owed.expired,
        written_off=owed.written_off,
    )


@router.get("/audit")
async def get_audit(context: Ctx, _: CanRead) -> AuditView:
    """Whether every balance equals its entries, and the first differences where one does not.

    It reads the whole ledger, so one runs at a time: 503 with `Retry-After` while another does.
    """
    async with context.read() as session:
        result = await auditing.audit(
            session.driver,
            differences_max=context.settings.audit_differences_max,
            seconds_max=context.settings.audit_seconds_max,
        )
    if result is None:
        raise unavailable("another audit is running")
    checks = [
        CheckView(
            name=check.name,
            ok=check.differences == 0,
            differences=check.differences,
            first=check.first,
        )
        for check in result.checks
    ]
    return AuditView(
        ok=all(check.ok for check in checks),
        as_of=context.clock.now(),
        accounts=result.accounts,
        entries=result.entries,
        lots=result.lots,
        checks=checks,
    )


def _piece(
    listed: Sequence[Listed], limit: int, cursor: str | None
) -> tuple[Sequence[Listed], str | None]:
    """A page of what the settings list, and the cursor of the next; a position is enough."""
    (first,) = decode_cursor(cursor, 1) if cursor is not None else (0,)
    if type(first) is not int or first < 0:
        raise Problem(422, "the cursor is not one of ours")
    end = first + limit
    return listed[first:end], encode_cursor(end) if end < len(listed) else None
