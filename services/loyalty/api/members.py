"""`/v1/members`: balance and tier, the statement, and points given by hand."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from services.loyalty.api.parts import CREATED, Id, IdempotencyKey, Refusal, answer_once
from services.loyalty.domain.accounts import Refused
from services.loyalty.domain.membership import Standing
from services.loyalty.handlers import awards, members
from services.loyalty.handlers.awards import Gift
from services.loyalty.handlers.members import Extract
from services.loyalty.store.statements import Line, Position
from shared.events.envelope import Instant
from shared.events.envelope import Line as Words
from shared.ids import CustomerId
from shared.runtime.db import Transaction
from shared.runtime.http import (
    Body,
    CanOperate,
    CanRead,
    Ctx,
    Cursor,
    Limit,
    Page,
    Problem,
    decode_cursor,
    encode_cursor,
)

router = APIRouter(prefix="/v1/members", tags=["members"])
POINTS_MAX = 1_000_000_000
Points = Annotated[int, Field(ge=1, le=POINTS_MAX, strict=True)]


class Balance(BaseModel):
    """Points of a person. `spendable` is what a redemption can take now."""

    active: int
    pending: int
    reserved: int
    debt: int
    spendable: int


class NextTier(BaseModel):
    name: str
    points: int
    missing_points: int


class Expiring(BaseModel):
    at: datetime
    points: int


class ChallengeProgress(BaseModel):
    challenge: str
    progress: float
    goal: float


class Member(BaseModel):
    """A member, all linked ids together, as of now."""

    customer_id: str
    linked_ids: list[str]
    balance: Balance
    tier: str
    tier_since: datetime | None
    review_at: datetime | None
    qualifying_points: int
    next_tier: NextTier | None
    next_expiry: Expiring | None
    badges: list[str]
    challenges: list[ChallengeProgress]


class StatementLine(BaseModel):
    """One entry: `points` is the change of the active balance, `balance` what it came to."""

    entry_id: str
    customer_id: str
    kind: str
    occurred_at: datetime
    booked_at: datetime
    points: int
    reserved_points: int
    debt_points: int
    balance: int
    rule: str | None
    reason: str
    order_id: str | None
    redemption_id: str | None
    lot_id: str | None
    reverses: str | None
    cause: str


class Statement(Page[StatementLine]):
    """Lines in the order of booking. Opening and closing are the active balances around a page."""

    customer_id: str
    opening_balance: int
    closing_balance: int


class AwardBody(Body):
    """Points given by hand. `qualifying` ones count for the tier."""

    points: Points
    reason: Annotated[Words, Field(min_length=1)]
    qualifying: bool = True
    expires_at: Instant | None = None


class Award(BaseModel):
    """`balance` and `debt` are those of the person, as in the member itself."""

    entry_id: str
    lot_id: str
    customer_id: str
    points: int
    balance: int
    debt: int
    awarded_at: datetime


@router.get("/{customer_id}")
async def get_member(customer_id: Id, context: Ctx, _: CanRead) -> Member:
    """Balance, tier and progress. An absorbed id answers for the person it belongs to."""
    async with context.read() as session:
        found = await members.read_member(
            session.driver,
            context.resources.program,
            CustomerId(customer_id),
            context.clock.now(),
        )
    if found is None:
        raise _nothing_booked()
    return _member(found)


@router.get("/{customer_id}/statement")
async def get_statement(
    customer_id: Id,
    context: Ctx,
    _: CanRead,
    limit: Limit = 50,
    cursor: Cursor = None,
    since: Annotated[Instant | None, Query(alias="from")] = None,
    until: Annotated[Instant | None, Query(alias="to")] = None,
) -> Statement:
    """The ledger of a member, oldest line first, booked within [from, to)."""
    customer, after = CustomerId(customer_id), _position(cursor)
    async with context.read() as session:
        found = await members.read_statement(
            session.driver,
            customer,
            after=after,
            since=since,
            until=until,
            limit=limit,
        )
    if found is None:
        raise _nothing_booked()
    return _statement(found)


@router.post("/{customer_id}/awards", status_code=CREATED, response_model=Award)
async def post_award(
    customer_id: Id, body: AwardBody, context: Ctx, _: CanOperate, key: IdempotencyKey = None
) -> Response:
    """Gives points. A debt is paid from them first."""
    customer, now = CustomerId(customer_id), context.clock.now()
    gift = Gift(body.points, body.reason, body.qualifying, body.expires_at)

    async def work(tx: Transaction, request_id: str) -> BaseModel:
        # Only for a new key: what was given once is answered again, also when it has ended since.
        if body.expires_at is not None and body.expires_at <= now:
            error = {"path": "body.expires_at", "message": "must be in the future"}
            raise Problem(422, "points cannot end before they begin", errors=[error])
        given = await awards.award(tx, customer, request_id, gift, now=now)
        if isinstance(given, Refused):
            raise Refusal(given)
        return Award(
            entry_id=given.entry.id,
            lot_id=str(given.entry.lot_id),
            customer_id=customer,
            points=gift.points,
            balance=given.active,
            debt=given.debt,
            awarded_at=now,
        )

    return await answer_once(context, "award", key, customer, body, work)


def _nothing_booked() -> Problem:
    return Problem(404, "nothing was ever booked for this customer")


def _member(found: Standing) -> Member:
    above = found.next_tier
    return Member(
        customer_id=found.customer_id,
        linked_ids=[one for one in found.ids if one != found.customer_id],
        balance=Balance(
            active=found.active,
            pending=0,
            reserved=found.reserved,
            debt=found.debt,
            spendable=found.spendable,
        ),
        tier=found.tier,
        tier_since=found.tier_since,
        review_at=found.review_at,
        qualifying_points=found.qualifying_points,
        next_tier=NextTier(
            name=above.name,
            points=above.points,
            missing_points=max(0, above.points - found.qualifying_points),
        )
        if above
        else None,
        next_expiry=Expiring(at=found.expires_at, points=found.expiring_points)
        if found.expires_at
        else None,
        badges=[],
        challenges=[],
    )


def _statement(found: Extract) -> Statement:
    items: list[StatementLine] = []
    balance = found.opening
    for line in found.lines:
        balance += line.active
        items.append(_line(line, balance))
    return Statement(
        items=items,
        next_cursor=_cursor(found.lines[-1]) if found.more else None,
        customer_id=found.customer_id,
        opening_balance=found.opening,
        closing_balance=balance,
    )


def _line(line: Line, balance: int) -> StatementLine:
    return StatementLine(
        entry_id=line.entry_id,
        customer_id=line.customer_id,
        kind=line.kind,
        occurred_at=line.occurred_at,
        booked_at=line.booked_at,
        points=line.active,
        reserved_points=line.reserved,
        debt_points=line.debt,
        balance=balance,
        rule=line.rule,
        reason=line.reason,
        order_id=line.order_id,
        redemption_id=line.redemption_id,
        lot_id=line.lot_id,
        reverses=line.reverses,
        cause=line.cause,
    )


def _cursor(line: Line) -> str:
    return encode_cursor(line.booked_at.isoformat(), line.customer_id, line.seq)


def _position(cursor: str | None) -> Position | None:
    if cursor is None:
        return None
    booked_at, customer, seq = decode_cursor(cursor, 3)
    try:
        return _checked(datetime.fromisoformat(booked_at), customer, seq)
    except (TypeError, ValueError, OverflowError):
        raise Problem(422, "the cursor is not one of ours") from None


def _checked(booked_at: datetime, customer: Any, seq: Any) -> Position:
    sound = isinstance(customer, str) and type(seq) is int
    if not sound or booked_at.tzinfo is None or not 0 <= seq < 2**63:
        raise ValueError("not a position")
    if b"\x00" in customer.encode():  # half a surrogate pair is a ValueError already
        raise ValueError("not an id")
    return booked_at.astimezone(UTC), CustomerId(customer), seq
