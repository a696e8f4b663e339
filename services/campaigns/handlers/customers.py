"""What operators, and customers by the link in a message, change about a customer."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.campaigns.addresses import checked
from services.campaigns.domain.consent import Statement, stated
from services.campaigns.domain.intervention import Intervention
from services.campaigns.domain.person import is_erased
from services.campaigns.domain.profile import ADDRESSES, BOUNCED_PREFIX, CUSTOM_PREFIX, Trait
from services.campaigns.domain.unsubscribe import intervention_of
from services.campaigns.handlers.equipment import Tools
from services.campaigns.handlers.profile import keep_statements
from services.campaigns.store import interventions, people, profiles
from shared.runtime.db import Transaction

LINK = "unsubscribe link"


async def state_consent(
    tx: Transaction,
    customer: str,
    consent: Mapping[str, Mapping[str, bool]],
    source: str,
    now: datetime,
) -> None:
    """An operator's statements about a customer."""
    await people.lock(tx.driver, [customer])
    said = stated(consent, "operator", source, now)
    await keep_statements(tx, [(customer, one) for one in said])


async def set_profile(
    tx: Transaction,
    customer: str,
    traits: Mapping[str, Any],
    custom: Mapping[str, Any],
    now: datetime,
) -> list[Trait]:
    """Sets traits; None takes one away. Answers those that were refused, with their problem."""
    given = [_trait(name, value, now) for name, value in traits.items()]
    wrong = [one for one in given if one.problem is not None]
    if wrong:
        return wrong
    # Who enters an address by hand means it: messages may be sent to it again.
    given += [
        Trait(f"{BOUNCED_PREFIX}{one.value}", False, now)
        for one in given
        if one.name in ADDRESSES and one.value
    ]
    given += [Trait(f"{CUSTOM_PREFIX}{name}", value, now) for name, value in custom.items()]
    await people.lock(tx.driver, [customer])
    await profiles.save_traits(tx.driver, [(customer, one) for one in given])
    return []


def _trait(name: str, value: Any, now: datetime) -> Trait:
    normal, problem = checked(name, value)
    return Trait(name, normal, now, problem)


async def unsubscribe(
    tx: Transaction, token: str, now: datetime, *, undo: bool
) -> Intervention | None:
    """Withdraws consent for the message's list, or takes that back; None for a made-up token.

    The link's own statement is all that undoing takes away: what was said elsewhere, before or
    since, is what holds then.
    """
    tools: Tools = tx.resources
    one = await _of_token(tx, tools, token)
    if one is None:
        return None
    customer = one.addressee_id or one.customer_id
    if is_erased(customer):
        return one
    await people.lock(tx.driver, [customer])
    said = Statement(one.channel, one.purpose, "link", False, LINK, now)
    if undo:
        await profiles.take_back(tx.driver, customer, said.key)
    else:
        await keep_statements(tx, [(customer, said)])
    return one


async def _of_token(tx: Transaction, tools: Tools, token: str) -> Intervention | None:
    name = intervention_of(token, tools.signing_secret)
    return (await interventions.by_id(tx.driver, [name])).get(name) if name else None
