"""Joins customers who share verified traits, and looks anew at who is one person.

Whoever does either owns all identities until the end of the transaction (`identities.own`). What is
in force is looked at as a whole, so that joining and parting are exact, whatever came first.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from services.ingest.domain.identity import (
    Bounds,
    Conflict,
    Getting,
    Identity,
    Move,
    Refusal,
    midnight,
)
from services.ingest.domain.joining import Holding, firsts, persons, regroup
from services.ingest.domain.traits import Trait, TraitKind, traits_of
from services.ingest.handlers.opening import Received
from services.ingest.handlers.telling import tell
from services.ingest.store import conflicts, identities, merges, traits
from services.ingest.store.merges import Merge
from shared.events.engagement import CustomerUpdatedData
from shared.ids import derived_id
from shared.runtime.db import ReadSession, Transaction

BY_TRAIT: Mapping[TraitKind, str] = {
    "email": "the same verified e-mail address",
    "phone": "the same verified telephone number",
}


@dataclass(frozen=True, slots=True)
class IdentityRules:
    """What joins ids. `trait_kinds` are those that the shop has verified, `secret` their key;
    `conflicts_max` are kept of one id."""

    bounds: Bounds
    trait_kinds: frozenset[TraitKind] = frozenset()
    secret: bytes = b""
    conflicts_max: int = 100


async def hold(tx: Transaction, received: Sequence[Received]) -> dict[int, list[Trait]]:
    """Holds the identities as far as these events ask for it. Keeps the traits that nobody had
    before; answers the other new ones, by the place of the event that tells them.

    Where traits may join, an event that comes alone always holds the whole: those of a failing
    batch come so within one transaction, where a share cannot become the whole later on.
    """
    rules: IdentityRules = tx.resources.identity
    told = _told(received, rules) if rules.trait_kinds else {}
    if told:
        told = await _news(tx, told)
    if not told and not (rules.trait_kinds and len(received) == 1):
        await identities.share(tx.driver)
        return {}
    await identities.own(tx.driver)
    if told:
        told = await _news(tx, told)  # another may have told them while this one waited
    held = await traits.first_holders(tx.driver, {one.digest for one in told}) if told else {}
    first = firsts(told, held)
    if first:
        await traits.keep(tx.driver, first, in_force=True)
    found: dict[int, list[Trait]] = {}
    for holding in told.keys() - set(first):
        place, trait = told[holding]
        found.setdefault(place, []).append(trait)
    return {place: sorted(several) for place, several in found.items()}


def _told(received: Sequence[Received], rules: IdentityRules) -> dict[Holding, tuple[int, Trait]]:
    told: dict[Holding, tuple[int, Trait]] = {}
    for place, one in enumerate(received):
        data, customer = one.event.data, one.event.customer_id
        if isinstance(data, CustomerUpdatedData) and customer is not None:
            for trait in traits_of(data, rules.trait_kinds, rules.secret):
                told.setdefault(Holding(customer, trait.digest), (place, trait))
    return told


async def _news(
    tx: Transaction, told: Mapping[Holding, tuple[int, Trait]]
) -> dict[Holding, tuple[int, Trait]]:
    """What is told for the first time."""
    known = await traits.known(tx.driver, told)
    return {holding: where for holding, where in told.items() if holding not in known}


async def join_by_traits(
    tx: Transaction, one: Received, told: Sequence[Trait]
) -> dict[bytes, Refusal]:
    """Joins a customer to those who have the same traits, as far as the limits allow. Answers the
    traits that would be refused to anybody now, and why."""
    customer = one.event.customer_id
    assert customer is not None, "only a customer has verified traits"
    full: dict[bytes, Refusal] = {}
    for trait in told:
        other = (await traits.first_holders(tx.driver, [trait.digest]))[trait.digest]
        people = await identities.load(tx.driver, [customer, other])
        refusal, anybody = await _refusal(tx, one, people[customer], people[other])
        if refusal is None:
            await traits.keep(tx.driver, [Holding(customer, trait.digest)], in_force=True)
            await _join(tx, one, trait, people, other)
            continue
        await _refuse(tx, [_Refused(one, trait, people[customer], other, refusal)])
        if anybody:
            full[trait.digest] = refusal
    return full


async def refuse(
    tx: Transaction, late: Sequence[tuple[Received, Trait]], full: Mapping[bytes, Refusal]
) -> None:
    """Refuses traits that are `full`, all at once, after the events that told them; only who is one
    person with their holder already keeps them."""
    holders = await traits.first_holders(tx.driver, full)
    named = {one.event.customer_id or "" for one, _ in late}
    people = await identities.load(tx.driver, named | set(holders.values()))
    refused: list[_Refused] = []
    for one, trait in late:
        customer, other = people[one.event.customer_id or ""], holders[trait.digest]
        if customer.canonical_id == people[other].canonical_id:
            await join_by_traits(tx, one, [trait])
        else:
            refused.append(_Refused(one, trait, customer, other, full[trait.digest]))
    await _refuse(tx, refused)


class _Refused(NamedTuple):
    """A trait that does not join `customer` to `other`."""

    told: Received
    trait: Trait
    customer: Identity
    other: str
    reason: Refusal


async def _refuse(tx: Transaction, refused: Sequence[_Refused]) -> None:
    """Lists what is refused. Too many ids are refused for good, too many merges for the day."""
    kept = [
        Holding(one.customer.id, one.trait.digest)
        for one in refused
        if one.reason != "too_many_merges"
    ]
    if kept:
        await traits.keep(tx.driver, kept, in_force=False)
    against = [
        Conflict(
            one.customer.id,
            one.other,
            one.customer.canonical_id,
            one.told.id,
            one.told.received_at,
            one.reason,
        )
        for one in refused
    ]
    if against:
        await conflicts.keep(tx.driver, against, rows_max=tx.resources.identity.conflicts_max)


async def _refusal(
    tx: Transaction, one: Received, customer: Identity, other: Identity
) -> tuple[Refusal | None, bool]:
    """Why they are not joined, and whether anybody would be refused by `other` now."""
    bounds: Bounds = tx.resources.identity.bounds
    canonical = {customer.canonical_id, other.canonical_id}
    links = await identities.links(tx.driver, canonical, bounds.ids_max + 1)
    if sum(links.values()) + len(canonical) > bounds.ids_max + 1:
        return "too_many_ids", links[other.canonical_id] >= bounds.ids_max
    getting = Getting(other.canonical_id, other.id, midnight(one.received_at))
    counted = await identities.merges(tx.driver, [getting], bounds.merges_max)
    full = max(counted.values()) >= bounds.merges_max
    return "too_many_merges" if full else None, full


async def _join(
    tx: Transaction, one: Received, trait: Trait, people: Mapping[str, Identity], other: str
) -> None:
    # An event's id may have blanks, and ends where this begins.
    key = f"{one.source} {one.id}\x1f{trait.kind}"
    merge = Merge(
        id=derived_id(key, "merge"),
        through=trait.kind,
        absorbed_id=one.event.customer_id or "",
        survivor_id=other,
        cause=one.id,
        made_by=one.source,
        happened_at=one.happened_at,
        made_at=one.received_at,
        digest=trait.digest,
    )
    await merges.insert(tx.driver, [merge])
    canonical = {each.canonical_id for each in people.values()}
    moves = await regrouped(tx, canonical, one.happened_at, BY_TRAIT[trait.kind])
    tell(tx, moves, key=key, cause=one.id, recorded_at=one.received_at)


async def ids_of(tx: Transaction | ReadSession, canonical: Collection[str], ids_max: int) -> int:
    """How many ids these persons have together; of each no more are counted than may be."""
    counted = await identities.links(tx.driver, canonical, ids_max + 1)
    return sum(counted.values()) + len(canonical)


async def regrouped(
    tx: Transaction, canonical: Collection[str], at: datetime, why: str
) -> Sequence[Move]:
    """Looks anew at who is one person, among the known ids of these; saves it, and answers what is
    to be told."""
    found = await identities.lock_known(tx.driver, canonical)
    aliases = await merges.aliases(tx.driver, found)
    holdings = await traits.of_customers(tx.driver, found)
    group = regroup(found.values(), persons(found, aliases, holdings), at, why)
    if group.changed:
        await identities.update(tx.driver, group.changed)
        moved = {one.id: one.canonical_id for one in group.changed}
        await identities.follow(tx.driver, moved, canonical)
    return group.moves
