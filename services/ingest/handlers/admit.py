"""Admits events: counts each once, finds out whose they are, and lets them go to everybody."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from services.ingest.domain import business, identity
from services.ingest.domain.identity import Counts, Identity, Naming, Outcome, Refusal, Resolved
from services.ingest.domain.intake import class_of, payload_of
from services.ingest.domain.traits import Trait
from services.ingest.handlers import joining, plans
from services.ingest.handlers.opening import Received, Unreadable
from services.ingest.handlers.telling import tell
from services.ingest.store import business_keys, conflicts, identities, merges
from services.ingest.store.business_keys import Claim
from services.ingest.store.merges import End, Merge
from shared.events.engagement import CustomerMerged
from shared.events.envelope import Event
from shared.ids import CustomerId, EventId, derived_event_id
from shared.runtime import metrics
from shared.runtime.db import Transaction


async def admit(
    tx: Transaction,
    events: Sequence[Received | Unreadable],
    *,
    now: datetime,  # noqa: ARG001 — the result depends on the log alone
) -> None:
    """Publishes what is new, under the canonical id, each absorption before the event that told it.

    Repetitions by id never arrive here; repetitions by business key still tell who is who, but are
    not published. A trait joins customers right after the event that told it. Raises `ValueError`
    for an event that cannot be read: it becomes a dead letter.
    """
    received = [_readable(one) for one in events]
    counted = await _claim(tx, received)
    traits = await joining.hold(tx, received)
    await _admit_and_join(tx, received, counted, traits)
    await plans.look_at(tx, [one for one, leaves in zip(received, counted, strict=True) if leaves])
    metrics.INTAKE_EVENTS.labels("duplicate").inc(counted.count(False))
    metrics.INTAKE_EVENTS.labels("admitted").inc(counted.count(True))


async def _admit_and_join(
    tx: Transaction,
    received: Sequence[Received],
    counted: Sequence[bool],
    traits: Mapping[int, Sequence[Trait]],
) -> None:
    """Admits the batch in pieces, each of which ends with an event that joins customers. What is
    refused to everybody (a shop's own address, told for all its customers) cuts it no further."""
    start, full, late = 0, dict[bytes, Refusal](), list[tuple[Received, Trait]]()
    for place in sorted(traits):
        late += [(received[place], one) for one in traits[place] if one.digest in full]
        joining_now = [one for one in traits[place] if one.digest not in full]
        if joining_now:
            part, start = slice(start, place + 1), place + 1
            await _admit(tx, received[part], counted[part])
            full |= await joining.join_by_traits(tx, received[place], joining_now)
    if start < len(received):
        await _admit(tx, received[start:], counted[start:])
    if late:
        await joining.refuse(tx, late, full)


async def _admit(tx: Transaction, received: Sequence[Received], counted: Sequence[bool]) -> None:
    namings = [
        Naming(
            one.id,
            one.event.customer_id,
            one.event.anonymous_id,
            one.happened_at,
            one.received_at,
            leaves,
        )
        for one, leaves in zip(received, counted, strict=True)
    ]
    outcome = await _resolve(tx, namings)
    await _log_merges(tx, received, outcome)
    for one, leaves, resolved in zip(received, counted, outcome.resolved, strict=True):
        if resolved.moves:
            key = _key(one)
            tell(tx, resolved.moves, key=key, cause=one.id, recorded_at=one.received_at)
        if leaves:
            tx.publish(_admitted(one, resolved))


def _key(one: Received) -> str:
    """What ids that follow from an event are derived from: two sources may use the same id."""
    return f"{one.source} {one.id}"


def _readable(one: Received | Unreadable) -> Received:
    if isinstance(one, Unreadable):
        raise ValueError(one.reason)
    return one


async def _claim(tx: Transaction, received: Sequence[Received]) -> list[bool]:
    """Which events count: of those with the same business key only the first ever."""
    keys = [business.business_key(one.event) for one in received]
    claims = [
        Claim(key, received[place].source, received[place].id, received[place].received_at)
        for key, place in business.firsts(keys).items()
    ]
    claimed = await business_keys.claim(tx.driver, claims) if claims else set()
    return business.counted(keys, claimed)


async def _resolve(tx: Transaction, namings: Sequence[Naming]) -> Outcome:
    """Finds and links ids, race-safe against other partitions and replicas.

    1. Load what is known, and decide as if alone. When all ids are settled, that was all.
    2. Insert the ids never seen, in their order. Who loses that race has waited for the winner.
    3. Lock, in their order, the ids that may still change, and decide again on what is true now.

    What a customer got already is not locked: replicas that link at once may pass a limit by as
    many.
    """
    named = {name for one in namings for name in (one.customer_id, one.anonymous_id) if name}
    found = await identities.load(tx.driver, named)
    bounds = tx.resources.identity.bounds
    counts = await _counts(tx, found, namings)
    outcome = identity.resolve(found, namings, counts, bounds)
    fresh = {one.id: one for one in outcome.changed if one.id not in found}
    inserted = await identities.insert(tx.driver, list(fresh.values())) if fresh else set()
    contested = identity.contested(found, namings)
    contested |= {one.id for one in outcome.changed} - inserted
    if contested:
        found |= await identities.lock(tx.driver, contested)
        outcome = identity.resolve(found, namings, counts, bounds)
    changed = [one for one in outcome.changed if not (one.id in inserted and fresh[one.id] == one)]
    if changed:
        await identities.update(tx.driver, changed)
    if outcome.conflicts:
        await conflicts.keep(
            tx.driver, outcome.conflicts, rows_max=tx.resources.identity.conflicts_max
        )
    return outcome


async def _counts(
    tx: Transaction, found: Mapping[str, Identity], namings: Sequence[Naming]
) -> Counts:
    """What those got already who may get a further id, and how often those moved who may move."""
    getting = identity.linking(found, namings)
    if not getting:
        return Counts()
    bounds = tx.resources.identity.bounds
    canonical = {one.canonical_id for one in getting}
    moving = identity.moving(found, namings)
    return Counts(
        await identities.links(tx.driver, canonical, bounds.ids_max),
        await identities.merges(tx.driver, getting, bounds.merges_max),
        await identities.moves(tx.driver, moving, bounds.moves_max) if moving else {},
    )


async def _log_merges(tx: Transaction, received: Sequence[Received], outcome: Outcome) -> None:
    """Writes down what began and what ended; what did both within the batch too."""
    begun: dict[str, list[Merge]] = {}
    ends: dict[str, End] = {}
    for one, resolved in zip(received, outcome.resolved, strict=True):
        for ordinal, move in enumerate(resolved.moves):
            mine = begun.setdefault(move.id, [])
            if move.left is not None and mine:
                mine[-1] = replace(
                    mine[-1],
                    ended_at=one.received_at,
                    ended_by=one.id,
                    ended_because="corrected",
                )
            elif move.left is not None:
                ends[move.id] = End(move.id, one.received_at, one.id)
            if move.joined is not None:
                mine.append(_merge(one, move.id, move.joined, ordinal))
    if ends:
        await merges.correct(tx.driver, ends.values())
    if made := [merge for some in begun.values() for merge in some]:
        await merges.insert(tx.driver, made)


def _merge(one: Received, absorbed: str, survivor: str, ordinal: int) -> Merge:
    """Its id is that of the event that announces it."""
    return Merge(
        id=derived_event_id(_key(one), CustomerMerged.type_name(), ordinal),
        through="event",
        absorbed_id=absorbed,
        survivor_id=survivor,
        cause=one.id,
        made_by=one.source,
        happened_at=one.happened_at,
        made_at=one.received_at,
    )


def _admitted(one: Received, resolved: Resolved) -> Event:
    event_class = class_of(one.event.type)
    assert event_class is not None, "the bundle was opened with the same catalogue"
    return event_class(
        id=EventId(one.id),
        source=one.source,
        type=one.event.type,
        subject=CustomerId(resolved.subject),
        time=one.happened_at,
        recordedtime=one.received_at,
        alias=CustomerId(resolved.alias) if resolved.alias is not None else None,
        originaltime=one.original_time,
        schemaversion=event_class.VERSION,
        data=payload_of(one.event),
    )
