"""Admits events: counts each once, finds out whose they are, and lets them go to everybody."""

from collections.abc import Sequence
from datetime import datetime

from services.ingest.domain import business, identity
from services.ingest.domain.identity import Naming, Outcome, Resolved
from services.ingest.domain.intake import class_of, payload_of
from services.ingest.handlers import plans
from services.ingest.handlers.opening import Received, Unreadable
from services.ingest.store import business_keys, identities
from services.ingest.store.business_keys import Claim
from shared.events.engagement import CustomerMerged, CustomerMergedData
from shared.events.envelope import Event
from shared.ids import CustomerId, EventId, derived_event_id
from shared.runtime import metrics
from shared.runtime.db import Transaction

SOURCE = "/ingest"
MERGE_REASON = "one event named both ids"


async def admit(
    tx: Transaction,
    events: Sequence[Received | Unreadable],
    *,
    now: datetime,  # noqa: ARG001 — the result depends on the log alone
) -> None:
    """Publishes what is new, under the canonical id, each absorption before the event that told it.

    Repetitions by id never arrive here; repetitions by business key still tell who is who, but are
    not published. Raises `ValueError` for an event that cannot be read: it becomes a dead letter.
    """
    received = [_readable(one) for one in events]
    counted = await _claim(tx, received)
    namings = [
        Naming(one.id, one.event.customer_id, one.event.anonymous_id, one.received_at, leaves)
        for one, leaves in zip(received, counted, strict=True)
    ]
    outcome = await _resolve(tx, namings)
    for one, leaves, resolved in zip(received, counted, outcome.resolved, strict=True):
        if resolved.absorbed is not None:
            tx.publish(_merged(one, resolved, resolved.absorbed))
        if leaves:
            tx.publish(_admitted(one, resolved))
    await plans.look_at(tx, [one for one, leaves in zip(received, counted, strict=True) if leaves])
    metrics.INTAKE_EVENTS.labels("duplicate").inc(counted.count(False))
    metrics.INTAKE_EVENTS.labels("admitted").inc(counted.count(True))


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

    The number of ids that lead to one is not locked: replicas that link at once may pass its limit
    by as many.
    """
    named = {name for one in namings for name in (one.customer_id, one.anonymous_id) if name}
    found = await identities.load(tx.driver, named)
    links_max = tx.resources.identity_links_max
    counting = identity.linking(found, namings)
    links = await identities.links(tx.driver, counting, links_max) if counting else {}
    outcome = identity.resolve(found, namings, links, links_max)
    fresh = {one.id: one for one in outcome.changed if one.id not in found}
    inserted = await identities.insert(tx.driver, list(fresh.values())) if fresh else set()
    open_ids = {name for name, one in found.items() if not one.settled}
    contested = open_ids | (fresh.keys() - inserted)
    if contested:
        found |= await identities.lock(tx.driver, contested)
        outcome = identity.resolve(found, namings, links, links_max)
    changed = [one for one in outcome.changed if not (one.id in inserted and fresh[one.id] == one)]
    if changed:
        await identities.update(tx.driver, changed)
    if outcome.conflicts:
        await identities.keep_conflicts(tx.driver, outcome.conflicts)
    return outcome


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


def _merged(one: Received, resolved: Resolved, absorbed: str) -> CustomerMerged:
    """Its id follows from source and id of the event: two sources may use the same event id."""
    return CustomerMerged(
        id=derived_event_id(f"{one.source} {one.id}", CustomerMerged.type_name()),
        source=SOURCE,
        subject=CustomerId(absorbed),
        time=one.happened_at,
        recordedtime=one.received_at,
        cause=EventId(one.id),
        data=CustomerMergedData(survivor_id=CustomerId(resolved.subject), reason=MERGE_REASON),
    )
