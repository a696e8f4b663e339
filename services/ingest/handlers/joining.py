"""Joins customers who share verified traits, and looks anew at who is one person.

Whoever does either owns all identities until the end of the transaction (`identities.own`). What is
in force is looked at as a whole, so that joining and parting are exact, whatever came first.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.ingest.domain.identity import (
    Bounds,
    Conflict,
    Getting,
    Identity,
    Move,
    Refusal,
    midnight,
)
from services.ingest.domain.joining import Holding, persons, regroup
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
    """What joins ids. `trait_kinds` are those that the shop has verified, `secret` their key."""

    bounds: Bounds
    trait_kinds: frozenset[TraitKind] = frozenset()
    secret: bytes = b""


async def new_traits(tx: Transaction, received: Sequence[Received]) -> dict[int, list[Trait]]:
    """The traits that customers never told before, by the place of the event that tells them."""
    rules: IdentityRules = tx.resources.identity
    if not rules.trait_kinds:
        return {}
    told: dict[Holding, tuple[int, Trait]] = {}
    for place, one in enumerate(received):
        data, customer = one.event.data, one.event.customer_id
        if isinstance(data, CustomerUpdatedData) and customer is not None:
            for trait in traits_of(data, rules.trait_kinds, rules.secret):
                told.setdefault(Holding(customer, trait.digest), (place, trait))
    known = await traits.known(tx.driver, told) if told else set()
    found: dict[int, list[Trait]] = {}
    for holding, (place, trait) in told.items():
        if holding not in known:
            found.setdefault(place, []).append(trait)
    return found


async def join_by_traits(tx: Transaction, one: Received, told: Sequence[Trait]) -> None:
    """Joins a customer to those who have the same traits, as far as the limits allow."""
    customer = one.event.customer_id
    assert customer is not None, "only a customer has verified traits"
    bounds: Bounds = tx.resources.identity.bounds
    for trait in told:
        holding = Holding(customer, trait.digest)
        others = await traits.holders(tx.driver, trait.digest, bounds.ids_max + 1)
        if not others:
            await traits.keep(tx.driver, holding, in_force=True)
            continue
        people = await identities.load(tx.driver, [customer, *others])
        refusal = await _refusal(tx, one, people, others[0])
        await traits.keep(tx.driver, holding, in_force=refusal is None)
        if refusal is None:
            await _join(tx, one, trait, people, others[0])
        else:
            kept = people[customer].canonical_id
            conflict = Conflict(customer, others[0], kept, one.id, one.received_at, refusal)
            await conflicts.keep(tx.driver, [conflict])


async def _refusal(
    tx: Transaction, one: Received, people: Mapping[str, Identity], other: str
) -> Refusal | None:
    bounds: Bounds = tx.resources.identity.bounds
    canonical = {each.canonical_id for each in people.values()}
    if await ids_of(tx, canonical, bounds.ids_max) > bounds.ids_max + 1:
        return "too_many_ids"
    getting = Getting(people[other].canonical_id, other, midnight(one.received_at))
    counted = await identities.merges(tx.driver, [getting], bounds.merges_max)
    return "too_many_merges" if max(counted.values()) >= bounds.merges_max else None


async def _join(
    tx: Transaction, one: Received, trait: Trait, people: Mapping[str, Identity], other: str
) -> None:
    key = f"{one.source} {one.id} {trait.kind}"
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
