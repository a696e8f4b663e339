"""What customers and shops say about themselves: traits and consent."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from services.campaigns.addresses import checked
from services.campaigns.domain.bounce import is_for_good
from services.campaigns.domain.consent import ALL_PURPOSES, Statement, learn, stated
from services.campaigns.domain.person import Person, original
from services.campaigns.domain.profile import (
    ADDRESS_TRAITS,
    BOUNCED_PREFIX,
    CUSTOM_PREFIX,
    TRAITS,
    Trait,
    combine,
)
from services.campaigns.store import interventions, people, profiles
from shared.events.engagement import (
    CustomerUpdated,
    MessageBounced,
    MessageComplained,
    MessageUnsubscribed,
)
from shared.events.loyalty import TierChanged
from shared.runtime.db import Transaction

Told: TypeAlias = CustomerUpdated | MessageUnsubscribed | MessageComplained | MessageBounced


async def learn_about(tx: Transaction, events: Sequence[Told | TierChanged]) -> None:
    """Keeps what is new, in the sequence of the log."""
    if not events:
        return
    persons = await people.lock(tx.driver, (original(one) for one in events))
    bounced = await _bounced(tx, events, persons)
    told: list[tuple[str, Trait]] = [
        (original(one), trait) for one in events for trait in _traits(one)
    ]
    await profiles.save_traits(tx.driver, [*told, *bounced])
    purposes = await _purposes(tx, events)
    await keep_statements(
        tx,
        [(original(one), said) for one in events for said in _statements(one, purposes)],
    )


async def keep_statements(tx: Transaction, said: Sequence[tuple[str, Statement]]) -> None:
    """Folds statements into what is known of each customer; their rows must be locked."""
    if not said:
        return
    known = await profiles.load_statements(tx.driver, sorted({customer for customer, _ in said}))
    changed: dict[str, profiles.Statements] = {}
    for customer, statement in said:
        kept = learn(known[customer], statement)
        if kept is not None:
            known[customer][kept.key] = kept
            changed.setdefault(customer, {})[kept.key] = kept
    await profiles.save_statements(tx.driver, changed)


async def _bounced(
    tx: Transaction, events: Sequence[Told | TierChanged], persons: Mapping[str, Person]
) -> list[tuple[str, Trait]]:
    """The addresses that messages came back from: those that were known when they did."""
    concerned = {
        each
        for one in events
        if isinstance(one, MessageBounced)
        for each in persons[original(one)].ids
    }
    if not concerned:
        return []
    traits = await profiles.load_traits(tx.driver, sorted(concerned))
    found: list[tuple[str, Trait]] = []
    for one in events:
        if isinstance(one, MessageBounced):
            found += _came_back(one, persons[original(one)], traits)
        elif original(one) in concerned:
            # As these will be saved: of one trait the latest.
            known = traits.get(original(one), [])
            traits[original(one)] = list(combine([*known, *_traits(one)]).traits.values())
    return found


def _came_back(
    event: MessageBounced, person: Person, traits: Mapping[str, Sequence[Trait]]
) -> Iterable[tuple[str, Trait]]:
    """With each id that the address is known of. An address that was set later than the message
    came back is another matter."""
    name = ADDRESS_TRAITS.get(event.data.channel)
    if name is None or not is_for_good(event.data.reason):
        return
    address = profiles.profile_of(person, traits).traits.get(name)
    if address is None or not address.value or address.at > event.time:
        return
    for each in person.ids:
        if any((one.name, one.value) == (name, address.value) for one in traits.get(each, ())):
            yield each, Trait(f"{BOUNCED_PREFIX}{address.value}", True, event.time)


def _traits(event: Told | TierChanged) -> Iterable[Trait]:
    if isinstance(event, TierChanged):
        yield Trait("loyalty_tier", event.data.current, event.time)
    elif isinstance(event, CustomerUpdated):
        given = event.data.model_dump(mode="json", exclude_unset=True)
        for name in TRAITS:
            if given.get(name) is not None:
                yield trait_of(name, given[name], event)
        for name, value in sorted((event.data.custom or {}).items()):
            yield Trait(f"{CUSTOM_PREFIX}{name}", value, event.time)


def trait_of(name: str, value: object, event: CustomerUpdated) -> Trait:
    """A trait in its normal form, or with what is wrong with it."""
    normal, problem = checked(name, value)
    return Trait(name, normal, event.time, problem)


def _statements(event: Told | TierChanged, purposes: Mapping[str, str]) -> Sequence[Statement]:
    """A message's unsubscription is about its purpose; a complaint about the channel. A bounce
    says nothing of what the person wants."""
    if isinstance(event, TierChanged | MessageBounced):
        return ()
    if isinstance(event, CustomerUpdated):
        consent = {str(channel): said for channel, said in (event.data.consent or {}).items()}
        return stated(consent, "shop", event.type, event.time)
    purpose = ALL_PURPOSES
    if isinstance(event, MessageUnsubscribed):
        purpose = purposes.get(_intervention(event.data.message_id) or "", ALL_PURPOSES)
    return (Statement(event.data.channel, purpose, "person", False, event.type, event.time),)


async def _purposes(tx: Transaction, events: Sequence[Told | TierChanged]) -> dict[str, str]:
    """The purposes of our own messages that were unsubscribed from."""
    messages = {
        found
        for one in events
        if isinstance(one, MessageUnsubscribed)
        and (found := _intervention(one.data.message_id)) is not None
    }
    if not messages:
        return {}
    sent = await interventions.by_id(tx.driver, sorted(messages))
    return {name: one.purpose for name, one in sent.items()}


def _intervention(message_id: str) -> str | None:
    """The intervention that a message id of ours is made of."""
    name = message_id.strip("<> ").partition("@")[0]
    try:
        return str(uuid.UUID(name))
    except ValueError:
        return None
