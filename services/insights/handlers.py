"""Events become facts: load, reduce, save."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from services.insights.domain import identity
from services.insights.domain.facts import Operation, facts_of, original, veiled
from services.insights.store import facts as facts_store
from services.insights.store import identity as identity_store
from services.insights.store import people as people_store
from shared.events.engagement import CustomerErased, CustomerMerged, CustomerUnmerged
from shared.events.envelope import Event
from shared.ids import CustomerId
from shared.runtime.db import Transaction
from shared.runtime.service import Context

Identity = CustomerMerged | CustomerUnmerged | CustomerErased


async def record(tx: Transaction, events: Sequence[Event], *, now: datetime) -> None:  # noqa: ARG001 — facts carry their own times
    """Adds events to the timelines, rollups and states of their customers."""
    moves = [event for event in events if isinstance(event, Identity)]
    changed = await _identify(tx, moves) if moves else set()
    veils = await identity_store.veils(tx.driver, (original(event) for event in events))
    changed |= await facts_store.save(tx.driver, facts_of(events, veils))
    await people_store.note(tx.driver, changed)


async def _identify(tx: Transaction, moves: Sequence[Identity]) -> set[CustomerId]:
    """Merges, unmerges and erasures, by their own times. Answers whose person is another now."""
    new = [identity.link_of(move) for move in moves if not isinstance(move, CustomerErased)]
    erased = [identity.erasure_of(move) for move in moves if isinstance(move, CustomerErased)]
    await identity_store.lock(tx.driver, erasing=bool(erased))
    ids = {move.subject for move in moves} | {link.survivor for link in new}
    before = await identity_store.connected(tx.driver, ids)
    links = identity.latest([*before, *new])
    everybody = ids | {link.absorbed for link in before} | {link.survivor for link in before}
    veils = await identity_store.veils(tx.driver, everybody)
    settled = identity.settle(links, erased, veils)
    change = identity.changed(before, settled.links)
    await identity_store.change(tx.driver, change.gone, change.links)
    return set(change.people) | await _erase(tx, settled.erasures)


async def _erase(tx: Transaction, erasures: Sequence[identity.Erasure]) -> set[CustomerId]:
    """Timelines and states go; sums stay, under a pseudonym."""
    if not erasures:
        return set()
    await identity_store.lock(tx.driver, erasing=True)
    await identity_store.erase(tx.driver, erasures)
    pseudonyms = {one.customer: one.veil.pseudonym for one in erasures}
    taken = await facts_store.take(tx.driver, erasures)
    return pseudonyms.keys() | await facts_store.save(tx.driver, veiled(taken, pseudonyms))


async def record_operations(tx: Transaction, events: Sequence[Event], *, now: datetime) -> None:  # noqa: ARG001 — facts carry their own times
    """Adds what webhooks tells about endpoints."""
    await facts_store.save_operations(
        tx.driver,
        [
            Operation(event.subject, event.time, event.id, event.source, event.type)
            for event in events
        ],
    )


async def sweep(context: Context, now: datetime) -> bool:
    """Deletes entries of timelines that are older than the retention."""
    settings = context.settings
    async with context.transaction() as tx:
        return await facts_store.sweep(
            tx.driver,
            now - timedelta(days=settings.timeline_retention_days),
            settings.timeline_sweep_rows,
        )


async def recount(context: Context, now: datetime) -> bool:  # noqa: ARG001 — people are counted as of what is stored
    """Moves the sums over people by what changed since the last time."""
    async with context.transaction() as tx:
        return await people_store.recount(tx.driver, context.settings.recount_rows)
