"""A customer's consent, profile and decisions."""

from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from services.campaigns.api.paging import NEWEST, position
from services.campaigns.domain.consent import Origin, permission
from services.campaigns.domain.decision import Decision, Outcome, Stage
from services.campaigns.domain.profile import CUSTOM_PREFIX
from services.campaigns.handlers import customers
from services.campaigns.handlers.equipment import Tools
from services.campaigns.store import decisions, people, profiles, shop
from shared.events.engagement import FlatProperties, MessageChannel
from shared.events.envelope import Amount, Instant, Line, Name
from shared.runtime.http import (
    Body,
    CanOperate,
    CanRead,
    Ctx,
    Cursor,
    Limit,
    Page,
    Problem,
    encode_cursor,
)
from shared.runtime.service import Context

router = APIRouter(prefix="/customers", tags=["customers"])
CustomerPath = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


class StatementOut(BaseModel):
    """What was said about a channel and purpose (`*`: every purpose), by whom, since when."""

    channel: str
    purpose: str
    origin: Origin
    granted: bool
    source: str
    at: datetime


class PermissionOut(BaseModel):
    """What follows: whether messages of this purpose may be sent by this channel, and why."""

    channel: str
    purpose: str
    granted: bool
    reason: str


class ConsentOut(BaseModel):
    customer_id: str
    statements: list[StatementOut]
    permissions: list[PermissionOut]


class ConsentIn(Body):
    """`{"consent": {"email": {"retention": true}}}`; what is not named stays as it is."""

    consent: dict[MessageChannel, dict[Name, bool]]
    source: Line = "operator"


class ProfileOut(BaseModel):
    """Traits that can be used, and what is wrong with those that cannot."""

    customer_id: str
    ids: list[str]
    traits: dict[str, Any]
    custom: dict[str, Any]
    problems: dict[str, str]


class ProfileIn(Body):
    """Traits to set; null takes one away, an absent one stays as it is."""

    email: Line | None = None
    phone: Name | None = None
    name: Line | None = None
    birthday: date | None = None
    timezone: Name | None = None
    locale: Name | None = None
    country: Name | None = None
    industry: Line | None = None
    company: Line | None = None
    account_manager: Line | None = None
    acquired_at: Instant | None = None
    acquisition_channel: Name | None = None
    acquisition_cost: Amount | None = None
    annual_revenue: Amount | None = None
    custom: FlatProperties = Field(default_factory=dict)


class DecisionOut(BaseModel):
    """Why this person was, or was not, contacted: the rule that decided, in words."""

    decision_id: str
    decided_at: datetime
    stage: Stage
    outcome: Outcome
    rule: str
    reason: str
    journey: str
    journey_version: int
    step: str | None
    channel: str | None
    enrolment_id: str | None
    intervention_id: str | None
    until: datetime | None
    cause: str


@router.get("/{customer_id}/consent")
async def get_consent(customer_id: CustomerPath, context: Ctx, _: CanRead) -> ConsentOut:
    """Every statement, and what may be sent."""
    return await _consent(context, customer_id)


@router.put("/{customer_id}/consent")
async def put_consent(
    customer_id: CustomerPath, body: ConsentIn, context: Ctx, _: CanOperate
) -> ConsentOut:
    """States consent as an operator. It counts from now on, over what was said before."""
    consent = {str(channel): purposes for channel, purposes in body.consent.items()}
    async with context.transaction() as tx:
        await customers.state_consent(tx, customer_id, consent, body.source, context.clock.now())
    return await _consent(context, customer_id)


@router.get("/{customer_id}/profile")
async def get_profile(customer_id: CustomerPath, context: Ctx, _: CanRead) -> ProfileOut:
    """What is known of the person, under all ids that were merged."""
    return await _profile(context, customer_id)


@router.put("/{customer_id}/profile")
async def put_profile(
    customer_id: CustomerPath, body: ProfileIn, context: Ctx, _: CanOperate
) -> ProfileOut:
    """Sets traits; an address, number or zone that cannot be used is refused."""
    given = body.model_dump(mode="json", exclude_unset=True, exclude={"custom"})
    async with context.transaction() as tx:
        wrong = await customers.set_profile(
            tx, customer_id, given, body.custom, context.clock.now()
        )
    if wrong:
        raise Problem(
            422,
            "some traits cannot be used",
            errors=[{"path": one.name, "message": one.problem or ""} for one in wrong],
        )
    return await _profile(context, customer_id)


@router.get("/{customer_id}/decisions")
async def get_decisions(
    customer_id: CustomerPath,
    context: Ctx,
    _: CanRead,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[DecisionOut]:
    """Why this person was, or was not, contacted; the newest first."""
    before = position(cursor, NEWEST)
    async with context.read() as session:
        person = (await people.find(session.driver, [customer_id]))[customer_id]
        found = await decisions.listed(session.driver, person.ids, before, limit + 1)
    page, more = found[:limit], found[limit:]
    last = page[-1] if more else None
    return Page[DecisionOut](
        items=[_decision(one) for one in page],
        next_cursor=encode_cursor(last.decided_at.isoformat(), last.rank, last.decision_id)
        if last
        else None,
    )


def _decision(one: Decision) -> DecisionOut:
    return DecisionOut(
        decision_id=one.decision_id,
        decided_at=one.decided_at,
        stage=one.stage,
        outcome=one.outcome,
        rule=one.rule,
        reason=one.reason,
        journey=one.journey,
        journey_version=one.version,
        step=one.step,
        channel=one.channel,
        enrolment_id=one.enrolment_id,
        intervention_id=one.intervention_id,
        until=one.until,
        cause=one.cause,
    )


async def _consent(context: Context, customer: str) -> ConsentOut:
    tools: Tools = context.resources
    async with context.read() as session:
        person = (await people.find(session.driver, [customer]))[customer]
        known = await profiles.load_statements(session.driver, person.ids)
        policy, _ = await shop.policy(session.driver, tools.default_policy)
    said = profiles.statements_of(person, known)
    implied = {str(channel): purposes for channel, purposes in policy.implied_consent.items()}
    asked = {(one.channel, one.purpose) for one in said}
    asked |= {(channel, purpose) for channel, some in implied.items() for purpose in some}
    results = []
    for channel, purpose in sorted(asked):
        found = permission(said, channel, purpose, implied)
        results.append(
            PermissionOut(
                channel=channel, purpose=purpose, granted=found.granted, reason=found.reason
            )
        )
    return ConsentOut(
        customer_id=person.canonical,
        statements=[
            StatementOut(**{name: getattr(one, name) for name in _STATEMENT}) for one in said
        ],
        permissions=results,
    )


_STATEMENT = tuple(StatementOut.model_fields)


async def _profile(context: Context, customer: str) -> ProfileOut:
    async with context.read() as session:
        person = (await people.find(session.driver, [customer]))[customer]
        traits = await profiles.load_traits(session.driver, person.ids)
    profile = profiles.profile_of(person, traits)
    usable = {
        name: one.value for name, one in profile.known().items() if profile.value(name) is not None
    }
    own = {name: value for name, value in usable.items() if not name.startswith(CUSTOM_PREFIX)}
    return ProfileOut(
        customer_id=person.canonical,
        ids=list(person.ids),
        traits=own,
        custom={
            name.removeprefix(CUSTOM_PREFIX): value
            for name, value in usable.items()
            if name.startswith(CUSTOM_PREFIX)
        },
        problems={name: wrong for name in profile.known() if (wrong := profile.problem(name))},
    )
