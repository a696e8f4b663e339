"""Turns an intervention into the message that its customer gets."""

from typing import Any

from services.campaigns.domain.intervention import Intervention
from services.campaigns.domain.profile import Profile
from services.campaigns.domain.sending import Mail
from services.campaigns.domain.unsubscribe import token_of
from services.campaigns.handlers.equipment import Tools
from services.campaigns.templates import Rendered, TemplateProblem

_CUSTOMER_TRAITS = ("name", "locale", "country", "company", "loyalty_tier")
# Stands in for a link where nothing is sent.
PREVIEW_TOKEN = "preview"  # noqa: S105 — a word in a URL


def compose(tools: Tools, one: Intervention, profile: Profile) -> Mail:
    """The e-mail of an intervention; a `TemplateProblem` when it cannot be written."""
    assert one.message_id is not None
    assert one.sent_at is not None
    recipient = profile.text("email")
    assert recipient is not None, "the gate lets nothing through without an address"
    url = tools.unsubscribe_url(token_of(one.intervention_id, tools.signing_secret))
    content = render(tools, one.template or "", one.offer, profile, url)
    return Mail(
        message_id=one.message_id,
        sender=tools.mail_sender,
        recipient=recipient,
        subject=content.subject,
        text=content.text,
        html=content.html,
        unsubscribe_url=url,
        sent_at=one.sent_at,
    )


def render(
    tools: Tools, template: str, offer: str | None, profile: Profile, unsubscribe_url: str
) -> Rendered:
    """A template's content for a person; unknown templates and offers are `TemplateProblem`s."""
    if template not in tools.templates:
        raise TemplateProblem(f"there is no template {template!r}")
    if offer is not None and offer not in tools.offers:
        raise TemplateProblem(f"there is no offer {offer!r}")
    return tools.templates[template].render(
        {
            "customer": _customer(profile),
            "offer": tools.offers[offer].model_dump(mode="json") if offer is not None else None,
            "shop": {"name": tools.shop_name},
            "unsubscribe_url": unsubscribe_url,
        }
    )


def _customer(profile: Profile) -> dict[str, Any]:
    known = {name: profile.text(name) for name in _CUSTOMER_TRAITS}
    return {name: value for name, value in known.items() if value is not None}
