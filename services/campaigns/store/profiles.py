"""Traits and consent: what is known and allowed, per original id."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence

from services.campaigns.domain.consent import Statement, together
from services.campaigns.domain.person import Person
from services.campaigns.domain.profile import Profile, Trait, combine
from services.campaigns.store.rows import Driver

_LOAD_TRAITS = """
SELECT customer_id, trait, value, problem, set_at FROM traits
WHERE customer_id = ANY($1::text[]) ORDER BY customer_id, trait
"""
_SAVE_TRAITS = """
INSERT INTO traits (customer_id, trait, value, problem, set_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::text[], $5::timestamptz[])
ON CONFLICT (customer_id, trait) DO UPDATE
SET value = excluded.value, problem = excluded.problem, set_at = excluded.set_at
WHERE traits.set_at <= excluded.set_at
"""
_LOAD_CONSENTS = """
SELECT customer_id, channel, purpose, origin, granted, source, said_at, repeated_at, contrary_at
FROM consents
WHERE customer_id = ANY($1::text[]) ORDER BY customer_id, channel, purpose, origin
"""
_SAVE_CONSENTS = """
INSERT INTO consents (customer_id, channel, purpose, origin, granted, source, said_at, repeated_at,
    contrary_at)
SELECT * FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::bool[], $6::text[], $7::timestamptz[],
    $8::timestamptz[], $9::timestamptz[]
)
ON CONFLICT (customer_id, channel, purpose, origin) DO UPDATE
SET granted = excluded.granted, source = excluded.source, said_at = excluded.said_at,
    repeated_at = excluded.repeated_at, contrary_at = excluded.contrary_at
"""
_TAKE_BACK = """
DELETE FROM consents
WHERE customer_id = $1 AND channel = $2 AND purpose = $3 AND origin = $4
"""

Statements = dict[tuple[str, str, str], Statement]


async def save_traits(driver: Driver, traits: Iterable[tuple[str, Trait]]) -> None:
    """Writes (customer, trait) pairs; of one trait the latest, and the last of one instant."""
    latest: dict[tuple[str, str], Trait] = {}
    for customer, trait in traits:
        known = latest.get((customer, trait.name))
        if known is None or trait.at >= known.at:
            latest[customer, trait.name] = trait
    if not latest:
        return
    await driver.execute(
        _SAVE_TRAITS,
        [customer for customer, _ in latest],
        [name for _, name in latest],
        [json.dumps(trait.value) for trait in latest.values()],
        [trait.problem for trait in latest.values()],
        [trait.at for trait in latest.values()],
    )


async def load_traits(driver: Driver, ids: Collection[str]) -> dict[str, list[Trait]]:
    """The traits of each id."""
    found: dict[str, list[Trait]] = {}
    for row in await driver.fetch(_LOAD_TRAITS, list(ids)):
        trait = Trait(row["trait"], row["value"], row["set_at"], row["problem"])
        found.setdefault(row["customer_id"], []).append(trait)
    return found


def profile_of(person: Person, traits: Mapping[str, Sequence[Trait]]) -> Profile:
    """A person's profile from the traits of all their ids; the surviving id's win a tie."""
    ids = sorted(person.ids, key=lambda one: one == person.canonical)
    return combine(trait for one in ids for trait in traits.get(one, ()))


def holder_of(person: Person, traits: Mapping[str, Sequence[Trait]], name: str, first: str) -> str:
    """The id of a person with which the profile's trait is known; `first` if with that one too."""
    chosen = profile_of(person, traits).traits[name]
    return next(one for one in (first, *person.ids) if chosen in traits.get(one, ()))


async def save_statements(driver: Driver, said: Mapping[str, Statements]) -> None:
    """Writes the statements of each customer, as they now stand."""
    rows = [(customer, one) for customer, table in said.items() for one in table.values()]
    if not rows:
        return
    await driver.execute(
        _SAVE_CONSENTS,
        [customer for customer, _ in rows],
        [one.channel for _, one in rows],
        [one.purpose for _, one in rows],
        [one.origin for _, one in rows],
        [one.granted for _, one in rows],
        [one.source for _, one in rows],
        [one.at for _, one in rows],
        [one.repeated_at for _, one in rows],
        [one.contrary_at for _, one in rows],
    )


async def take_back(driver: Driver, customer: str, key: tuple[str, str, str]) -> None:
    """Forgets a statement (channel, purpose, origin), as if it had not been made."""
    await driver.execute(_TAKE_BACK, customer, *key)


async def load_statements(driver: Driver, ids: Collection[str]) -> dict[str, Statements]:
    """The statements about each id, by channel, purpose and origin."""
    found: dict[str, Statements] = {one: {} for one in ids}
    for row in await driver.fetch(_LOAD_CONSENTS, list(ids)):
        one = Statement(
            row["channel"],
            row["purpose"],
            row["origin"],
            row["granted"],
            row["source"],
            row["said_at"],
            row["repeated_at"],
            row["contrary_at"],
        )
        found[row["customer_id"]][one.key] = one
    return found


def statements_of(person: Person, said: Mapping[str, Statements]) -> list[Statement]:
    """What was said about a person under all their ids."""
    return together(one for each in person.ids for one in said.get(each, {}).values())
