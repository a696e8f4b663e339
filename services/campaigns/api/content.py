"""What messages are made of, and the shop's rules of contact."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel

from services.campaigns.api.paging import named
from services.campaigns.domain.offer import Offer
from services.campaigns.domain.policy import Policy
from services.campaigns.domain.profile import Profile
from services.campaigns.handlers.composing import PREVIEW_TOKEN, render
from services.campaigns.handlers.equipment import Tools
from services.campaigns.store import people, profiles, shop
from services.campaigns.templates import Template, TemplateProblem
from shared.events.envelope import CustomerName, Name
from shared.runtime.http import (
    Body,
    CanAdmin,
    CanRead,
    Ctx,
    Cursor,
    Limit,
    Page,
    Problem,
    encode_cursor,
)
from shared.runtime.service import Context

router = APIRouter(tags=["content"])
NamePath = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


class TemplateOut(BaseModel):
    """A template's parts as written, and the variables it refers to."""

    name: str
    subject: str
    text: str
    html: str
    variables: list[str]


class PreviewIn(Body):
    """For whom and with which offer; without a customer, for somebody unknown."""

    customer_id: CustomerName | None = None
    offer: Name | None = None


class PreviewOut(BaseModel):
    subject: str
    text: str
    html: str


class PolicyOut(BaseModel):
    """`changed_at` is absent while the default holds."""

    policy: Policy
    changed_at: datetime | None


@router.get("/offers")
async def list_offers(
    context: Ctx, _: CanRead, limit: Limit = 50, cursor: Cursor = None
) -> Page[Offer]:
    """All offers, by name."""
    tools: Tools = context.resources
    names, more = _names(tools.offers.keys(), cursor, limit)
    return Page[Offer](items=[tools.offers[name] for name in names], next_cursor=more)


@router.get("/templates")
async def list_templates(
    context: Ctx, _: CanRead, limit: Limit = 50, cursor: Cursor = None
) -> Page[TemplateOut]:
    """All templates, by name."""
    tools: Tools = context.resources
    names, more = _names(tools.templates.keys(), cursor, limit)
    return Page[TemplateOut](
        items=[_template(tools.templates[name]) for name in names], next_cursor=more
    )


@router.post("/templates/{name}/preview")
async def preview(name: NamePath, body: PreviewIn, context: Ctx, _: CanRead) -> PreviewOut:
    """The content as a customer would get it. Nothing is sent."""
    tools: Tools = context.resources
    if name not in tools.templates:
        raise Problem(404, "there is no such template")
    profile = await _profile(context, body.customer_id)
    try:
        content = render(tools, name, body.offer, profile, tools.unsubscribe_url(PREVIEW_TOKEN))
    except TemplateProblem as error:
        raise Problem(422, str(error)) from None
    return PreviewOut(subject=content.subject, text=content.text, html=content.html)


@router.get("/policy")
async def get_policy(context: Ctx, _: CanRead) -> PolicyOut:
    """Caps, quiet hours, the shop's time zone, and implied consent."""
    tools: Tools = context.resources
    async with context.read() as session:
        policy, changed_at = await shop.policy(session.driver, tools.default_policy)
    return PolicyOut(policy=policy, changed_at=changed_at)


@router.put("/policy")
async def put_policy(policy: Policy, context: Ctx, _: CanAdmin) -> PolicyOut:
    """Replaces the policy; it holds for everything that is not yet claimed for sending."""
    now = context.clock.now()
    async with context.transaction() as tx:
        await shop.save_policy(tx.driver, policy, now)
    return PolicyOut(policy=policy, changed_at=now)


def _names(known: Iterable[str], cursor: str | None, limit: int) -> tuple[list[str], str | None]:
    after = named(cursor)
    names = sorted(name for name in known if name > after)
    return names[:limit], encode_cursor(names[limit - 1]) if len(names) > limit else None


def _template(one: Template) -> TemplateOut:
    return TemplateOut(
        name=one.name,
        subject=one.sources["subject"],
        text=one.sources["text"],
        html=one.sources["html"],
        variables=one.variables(),
    )


async def _profile(context: Context, customer: str | None) -> Profile:
    if customer is None:
        return Profile()
    async with context.read() as session:
        person = (await people.find(session.driver, [customer]))[customer]
        traits = await profiles.load_traits(session.driver, person.ids)
    return profiles.profile_of(person, traits)
