"""What an operator decides about who is who: an alias, a look before it, and an undo.

Each is done once however often it is asked for: an alias is known by its two ids, an undo by its
merge. Nobody else joins or parts customers meanwhile, and nobody admits events.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, NamedTuple

from services.ingest.domain.identity import BY_KNOWN, Bounds, Conflict, Identity, Move, part
from services.ingest.domain.joining import Holding, Link, release
from services.ingest.handlers.joining import ids_of, regrouped
from services.ingest.handlers.telling import SOURCE, tell
from services.ingest.store import conflicts, identities, merges, traits
from services.ingest.store.merges import End, Merge
from shared.clock import EPOCH
from shared.ids import random_event_id
from shared.runtime.db import ReadSession, Transaction

Denied = Literal["undone", "reversed", "too_many_ids"]
NotUndone = Literal["missing", "corrected"]
BY_ALIAS = "an alias"
UNDONE = "a merge was undone"


class Request(NamedTuple):
    """Who asks, as of when (`now` moves with events on their clock), and when by the wall."""

    by: str
    now: datetime
    made_at: datetime


class Joined(NamedTuple):
    """A merge in force, and who stands for the person now. `made` is False when it was there."""

    merge: Merge
    canonical_id: str
    made: bool


@dataclass(frozen=True, slots=True)
class Preview:
    """Whom an alias makes one person: the canonical ids, and how many ids they have together."""

    previous: str
    customer: str
    already_one: bool
    ids: int
    denied: Denied | None


async def preview(
    session: ReadSession | Transaction, previous_id: str, customer_id: str, bounds: Bounds
) -> Preview:
    """What an alias would do."""
    found = await identities.load(session.driver, [previous_id, customer_id])
    previous, customer = (_person(found, name) for name in (previous_id, customer_id))
    leads_to = {name: one.canonical_id for name, one in found.items()}
    ids = await ids_of(session, {previous, customer}, bounds.ids_max)
    # A visitor who comes by itself was counted with the customer, too, whom it leaves.
    sides = {previous, customer}
    ids -= sum(leads_to.get(name, name) in sides - {name} for name in sides)
    between = await merges.between(session.driver, previous_id, customer_id)
    denied: Denied | None = None
    there = _in_force(between, previous_id)
    if there is not None and there.absorbed_id != previous_id:
        denied = "reversed"
    elif there is None and any(one.ended_because == "undone" for one in between):
        denied = "undone"
    elif ids > bounds.ids_max + 1:
        denied = "too_many_ids"
    already_one = leads_to.get(previous_id, previous_id) == leads_to.get(customer_id, customer_id)
    return Preview(previous, customer, already_one, ids, denied)


def _person(found: dict[str, Identity], name: str) -> str:
    """Whom an alias concerns: a visitor leaves whom events gave it to, and comes by itself."""
    one = found.get(name)
    return one.canonical_id if one is not None and one.known else name


def _in_force(between: Sequence[Merge], previous_id: str) -> Merge | None:
    """The alias in force between two ids; the one in the other direction only if no other is."""
    found = [one for one in between if one.through == "alias" and one.ended_at is None]
    return min(found, key=lambda one: one.absorbed_id != previous_id, default=None)


async def alias(
    tx: Transaction, previous_id: str, customer_id: str, *, rejoin: bool, request: Request
) -> Joined | Denied:
    """Makes two ids one customer's. A link between them that was undone stays so, unless
    `rejoin`; an alias in the other direction has to be undone first."""
    await identities.own(tx.driver)
    between = await merges.between(tx.driver, previous_id, customer_id)
    if (there := _in_force(between, previous_id)) is not None:
        if there.absorbed_id != previous_id:
            return "reversed"
        return Joined(there, await _canonical(tx, customer_id), False)
    seen = await preview(tx, previous_id, customer_id, tx.resources.identity.bounds)
    if seen.denied == "undone" and not rejoin:
        return "undone"
    merge = Merge(
        id=random_event_id(),
        through="alias",
        absorbed_id=previous_id,
        survivor_id=customer_id,
        cause=None,
        made_by=request.by,
        happened_at=request.now,
        made_at=request.made_at,
    )
    if seen.ids > tx.resources.identity.bounds.ids_max + 1:
        conflict = Conflict(
            previous_id, customer_id, seen.previous, None, merge.made_at, "too_many_ids"
        )
        rows_max = tx.resources.identity.conflicts_max
        await conflicts.keep(tx.driver, [conflict], rows_max=rows_max)
        return "too_many_ids"
    partings = [
        move for name in (previous_id, customer_id) for move in await _known(tx, name, merge)
    ]
    await merges.insert(tx.driver, [merge])
    moves = await regrouped(tx, {seen.previous, seen.customer}, request.now, BY_ALIAS)
    told = [*partings, *moves]
    tell(tx, told, key=f"alias {merge.id}", cause=merge.id, recorded_at=request.made_at)
    return Joined(merge, await _canonical(tx, customer_id), True)


async def _known(tx: Transaction, name: str, merge: Merge) -> list[Move]:
    """Makes an id a customer's own; answers whom it leaves, if only events had linked it."""
    fresh = Identity(name, name, merge.made_at, known=True, alias_only=True)
    if await identities.insert(tx.driver, [fresh]):
        return []
    one = (await identities.lock(tx.driver, [name]))[name]
    if one.known:
        return []
    moves: list[Move] = []
    if one.parent_id is not None:
        one, move = part(one, merge.happened_at)
        moves = [replace(move, why=BY_KNOWN)]
        await merges.correct(tx.driver, [End(name, merge.made_at, merge.id)])
    await identities.update(tx.driver, [replace(one, known=True, alias_only=True)])
    return moves


async def undo(tx: Transaction, merge_id: str, *, request: Request) -> Merge | NotUndone:
    """Takes one reason for two ids to be one person away, for good; others may still hold them.

    Done again it changes nothing. What ended by itself (`corrected`) cannot be undone.
    """
    await identities.own(tx.driver)
    merge = await merges.lock(tx.driver, merge_id)
    if merge is None:
        return "missing"
    if merge.ended_because is not None:
        return merge if merge.ended_because == "undone" else "corrected"
    await merges.undo(tx.driver, merge_id, request.made_at, request.by)
    if merge.through == "event":
        visitors = await identities.lock(tx.driver, [merge.absorbed_id])
        visitor, move = part(visitors[merge.absorbed_id], request.now)
        await identities.update(tx.driver, [visitor])
        moves: Sequence[Move] = [move]
    else:
        if merge.digest is not None:
            await traits.undo(tx.driver, Holding(merge.absorbed_id, merge.digest))
        together = await _canonical(tx, merge.absorbed_id)
        moves = await regrouped(tx, {together}, request.now, UNDONE)
        if merge.through == "alias":
            moves = [*moves, *await _release(tx, merge, request)]
    tell(tx, moves, key=f"undo {merge_id}", cause=merge_id, recorded_at=request.made_at)
    ended = await merges.lock(tx.driver, merge_id)
    assert ended is not None, "merges are never deleted"
    return ended


async def _release(tx: Transaction, ended: Merge, request: Request) -> list[Move]:
    """Makes visitors again of the ids of an alias that only aliases had made known, where none
    names them any more; answers whom they join, as before."""
    names = (ended.absorbed_id, ended.survivor_id)
    aliased = await merges.aliased(tx.driver, names)
    moves: list[Move] = []
    for one in (await identities.lock(tx.driver, names)).values():
        if not one.alias_only or one.id in aliased:
            continue
        before = await merges.ended_by_alias(tx.driver, one.id)
        visitor, move = release(one, await _link(tx, before), request.now)
        await identities.update(tx.driver, [visitor])
        if before is not None and move is not None:
            again = replace(
                before,
                id=random_event_id(),
                made_at=request.made_at,
                ended_at=None,
                ended_by=None,
                ended_because=None,
            )
            await merges.insert(tx.driver, [again])
            moves.append(move)
    return moves


async def _link(tx: Transaction, merge: Merge | None) -> Link | None:
    if merge is None:
        return None
    assert merge.cause is not None, "an event made this link"
    customer = (await identities.load(tx.driver, [merge.survivor_id]))[merge.survivor_id]
    # What the version before linked is dated by its receipt, and is older than all events.
    return Link(customer, merge.cause, EPOCH if merge.made_by == SOURCE else merge.happened_at)


async def _canonical(tx: Transaction, name: str) -> str:
    return (await identities.load(tx.driver, [name]))[name].canonical_id
