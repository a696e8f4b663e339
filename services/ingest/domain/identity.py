"""Which ids belong to one person: every id leads to exactly one canonical id.

An id that was named as a customer, ever, is *known*: events alone never merge it into another, for
a device that two people used would make one of them. Known ids become one person by an alias or by
verified traits (`joining`). A visitor (an id that is not known) belongs to the customer with whom
an event named it first: first by the events' own times and ids, not by their arrival. So where
everybody belongs follows from the set of events alone; who heard of them in a poor order corrects
itself by a parting and a merge, which are exact because state is kept per original id.

What was undone stays apart (docs/adr/0006): a visitor whose link was undone is *barred*, and no
event links it again, whenever it happened and whoever it names. Only so many ids may lead to one
customer, and only so many merges a day: what goes on linking is a till or a test account and no
person. Nor does a visitor move more often on one day: it is a till that is told backwards. What is
not linked for one of these reasons is kept as a conflict.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Literal, NamedTuple

Refusal = Literal[
    "other_customer",
    "known_customer",
    "undone",
    "too_many_ids",
    "too_many_merges",
    "too_many_moves",
]
BY_EVENT = "one event named both ids"
BY_EARLIER = "an earlier event named it with another customer"
BY_KNOWN = "the id is a customer's own"


@dataclass(frozen=True, slots=True)
class Identity:
    """One id. `parent_id` is the id it was linked to, None for one that stands for itself; of a
    known id it is the canonical one.

    `appeared` tells that events left under it as their subject before it was linked. `linked_at`
    and `linked_by` are time and id of the event that links a visitor; `barred` tells that such a
    link was undone, `told_at` is the time of what was last told of its belonging. `alias_only` is
    known because of aliases, and no event named it as a customer.
    """

    id: str
    canonical_id: str
    first_seen_at: datetime
    known: bool = False
    appeared: bool = False
    parent_id: str | None = None
    linked_at: datetime | None = None
    linked_by: str | None = None
    barred: bool = False
    told_at: datetime | None = None
    alias_only: bool = False

    @property
    def absorbed(self) -> bool:
        return self.canonical_id != self.id

    @property
    def settled(self) -> bool:
        """Events that happen later change nothing about where this id leads."""
        return self.absorbed or self.known or self.barred


@dataclass(frozen=True, slots=True)
class Naming:
    """The ids that one event names. `received_at` tells when we heard of it; `leaves` is False for
    a repetition that is not published."""

    event_id: str
    customer_id: str | None
    anonymous_id: str | None
    happened_at: datetime
    received_at: datetime
    leaves: bool = True


@dataclass(frozen=True, slots=True)
class Conflict:
    """`anonymous_id` belongs to `kept_id` (perhaps itself), and an event named it with
    `customer_id`; an operator did where `event_id` is None."""

    anonymous_id: str
    customer_id: str
    kept_id: str
    event_id: str | None
    at: datetime
    reason: Refusal


@dataclass(frozen=True, slots=True)
class Move:
    """From now on `id` does not belong to `left` (if any) but to `joined` (if any); `why` for a
    reader of the log. `at` never goes back for one id."""

    id: str
    left: str | None
    joined: str | None
    at: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """Whom an event is about. `alias` is the id it named, where that is not the canonical one;
    `moves` is to be told before the event."""

    subject: str
    alias: str | None
    moves: Sequence[Move] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """One `Resolved` per naming, in order; the identities as they are now, if they changed."""

    resolved: Sequence[Resolved]
    changed: Sequence[Identity]
    conflicts: Sequence[Conflict]


class Bounds(NamedTuple):
    """What one customer may get, and how often one visitor may be linked (`moves_max`). A day is a
    calendar day (UTC) of receipt."""

    ids_max: int = 1_000
    merges_max: int = 1_000
    moves_max: int = 100


class Counts(NamedTuple):
    """What customers got already: ids by canonical id; merges by the id named and the day. And how
    often a visitor was linked on a day."""

    ids: Mapping[str, int] = MappingProxyType({})
    merges: Mapping[tuple[str, date], int] = MappingProxyType({})
    moves: Mapping[tuple[str, date], int] = MappingProxyType({})


class Getting(NamedTuple):
    """A customer who may get a further id, on a day of receipt: what they got has to be counted."""

    canonical_id: str
    customer_id: str
    midnight: datetime


def linking(identities: Mapping[str, Identity], namings: Sequence[Naming]) -> set[Getting]:
    """Who may get a further id."""
    found: set[Getting] = set()
    for naming in namings:
        if naming.customer_id is None or naming.anonymous_id in (None, naming.customer_id):
            continue
        visitor = identities.get(naming.anonymous_id or "")
        if visitor is not None and visitor.parent_id == naming.customer_id:
            continue
        if visitor is None or not visitor.settled or _claims_first(naming, visitor):
            customer = identities.get(naming.customer_id)
            canonical = customer.canonical_id if customer is not None else naming.customer_id
            found.add(Getting(canonical, naming.customer_id, midnight(naming.received_at)))
    return found


def moving(
    identities: Mapping[str, Identity], namings: Sequence[Naming]
) -> set[tuple[str, datetime]]:
    """Linked visitors whom an earlier event claims for another, with the midnights of receipt: how
    often they were linked has to be counted."""
    return {
        (visitor.id, midnight(naming.received_at))
        for naming, visitor in _claims(identities, namings)
        if visitor.parent_id != naming.customer_id
    }


def contested(identities: Mapping[str, Identity], namings: Sequence[Naming]) -> set[str]:
    """Ids of these that the namings may move, whatever a decision upon them said: a second one may
    say otherwise, so they have to be locked before it."""
    unsettled = {name for name, one in identities.items() if not one.settled}
    return unsettled | {visitor.id for _, visitor in _claims(identities, namings)}


def _claims(
    identities: Mapping[str, Identity], namings: Sequence[Naming]
) -> Iterator[tuple[Naming, Identity]]:
    """Events that name a linked visitor before the one that links it."""
    for naming in namings:
        visitor = identities.get(naming.anonymous_id or "")
        if visitor is None or naming.customer_id is None:
            continue
        if _claims_first(naming, visitor):
            yield naming, visitor


def midnight(at: datetime) -> datetime:
    """When the day (UTC) of an instant began."""
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _claims_first(naming: Naming, visitor: Identity) -> bool:
    """Whether an event names a linked visitor before the event that links it."""
    if visitor.known or visitor.linked_at is None:
        return False
    assert visitor.linked_by is not None, "what was linked was linked by an event"
    assert visitor.parent_id is not None, "what was linked belongs to somebody"
    customer = naming.customer_id or ""
    first = (visitor.linked_at, visitor.linked_by, visitor.parent_id)
    return (naming.happened_at, naming.event_id, customer) < first


def resolve(
    identities: Mapping[str, Identity],
    namings: Sequence[Naming],
    counts: Counts = Counts(),  # noqa: B008 — it is frozen
    bounds: Bounds = Bounds(),  # noqa: B008 — it is frozen
) -> Outcome:
    """Goes through the namings in order. An id that is not in `identities` was never seen."""
    book = _Book(identities, counts, bounds)
    resolved = [book.admit(naming) for naming in namings]
    return Outcome(resolved, book.changed(), tuple(book.conflicts.values()))


class _Book:
    """The identities of a batch while it is decided upon."""

    def __init__(self, identities: Mapping[str, Identity], counts: Counts, bounds: Bounds) -> None:
        self._before = identities
        self._ids = dict(counts.ids)
        self._merges = dict(counts.merges)
        self._moves = dict(counts.moves)
        self._bounds = bounds
        self._now = dict(identities)
        self.conflicts: dict[tuple[str, str], Conflict] = {}

    def changed(self) -> list[Identity]:
        return [one for name, one in self._now.items() if self._before.get(name) != one]

    def admit(self, naming: Naming) -> Resolved:
        if naming.customer_id is None:
            assert naming.anonymous_id is not None, "the door asks for one of the two"
            return self._anonymous(naming.anonymous_id, naming)
        customer, parting = self._customer(naming.customer_id, naming)
        moves = [parting] if parting is not None else []
        if naming.anonymous_id is not None and naming.anonymous_id != naming.customer_id:
            joining = self._link(naming.anonymous_id, customer, naming)
            moves += [joining] if joining is not None else []
        alias = customer.id if customer.absorbed else None
        return Resolved(customer.canonical_id, alias, tuple(moves))

    def _seen(self, name: str, naming: Naming) -> Identity:
        return self._now.get(name) or Identity(name, name, naming.received_at)

    def _anonymous(self, name: str, naming: Naming) -> Resolved:
        one = self._seen(name, naming)
        if not one.settled and not one.appeared and naming.leaves:
            one = replace(one, appeared=True)
        self._now[name] = one
        return Resolved(one.canonical_id, name if one.absorbed else None)

    def _customer(self, name: str, naming: Naming) -> tuple[Identity, Move | None]:
        """A customer, known from now on; what only events had linked stands for itself again."""
        one, parting = self._seen(name, naming), None
        if not one.known:
            if one.parent_id is not None:
                one, parting = self._moved(one, None, naming, BY_KNOWN)
            one = replace(one, known=True)
        if one.alias_only:
            one = replace(one, alias_only=False)
        self._now[name] = one
        return one, parting

    def _link(self, name: str, customer: Identity, naming: Naming) -> Move | None:
        """Links a visitor to a customer, if that is news and may be."""
        one = self._seen(name, naming)
        self._now[name] = one
        if not one.known and one.parent_id == customer.id:
            if _claims_first(naming, one):
                first = replace(one, linked_at=naming.happened_at, linked_by=naming.event_id)
                self._now[name] = first
            return None
        refusal = self._refusal(one, customer, naming)
        if refusal is not None:
            if one.canonical_id != customer.canonical_id:
                self._contradict(one, customer.id, naming.event_id, naming, refusal)
            return None
        if one.parent_id is not None and one.linked_by is not None:
            kept = replace(one, canonical_id=customer.canonical_id)
            self._contradict(kept, one.parent_id, one.linked_by, naming, "other_customer")
        self._count(one, customer, naming)
        why = BY_EVENT if one.parent_id is None else BY_EARLIER
        self._now[name], move = self._moved(one, customer, naming, why)
        # Told even when nothing happened under it yet: later events will name it as their alias,
        # and whoever keeps state per original id must know whose it is.
        return move

    def _refusal(self, one: Identity, customer: Identity, naming: Naming) -> Refusal | None:
        if one.known:
            return "known_customer"
        if one.parent_id is not None and not _claims_first(naming, one):
            return "other_customer"
        if one.barred:
            return "undone"
        canonical, day = customer.canonical_id, midnight(naming.received_at).date()
        if canonical != one.canonical_id and self._ids.get(canonical, 0) >= self._bounds.ids_max:
            return "too_many_ids"
        if self._merges.get((customer.id, day), 0) >= self._bounds.merges_max:
            return "too_many_merges"
        often = self._moves.get((one.id, day), 0) >= self._bounds.moves_max
        return "too_many_moves" if often else None

    def _count(self, one: Identity, customer: Identity, naming: Naming) -> None:
        canonical, day = customer.canonical_id, midnight(naming.received_at).date()
        if one.canonical_id != canonical:
            self._ids[canonical] = self._ids.get(canonical, 0) + 1
            if one.canonical_id in self._ids:
                self._ids[one.canonical_id] -= 1
        self._merges[customer.id, day] = self._merges.get((customer.id, day), 0) + 1
        self._moves[one.id, day] = self._moves.get((one.id, day), 0) + 1

    def _moved(
        self, one: Identity, customer: Identity | None, naming: Naming, why: str
    ) -> tuple[Identity, Move]:
        """A visitor that belongs to another customer, or to none."""
        at = max(naming.happened_at, one.told_at or naming.happened_at)
        joined = customer.id if customer is not None else None
        moved = replace(
            one,
            canonical_id=customer.canonical_id if customer is not None else one.id,
            parent_id=joined,
            linked_at=naming.happened_at if joined else None,
            linked_by=naming.event_id if joined else None,
            told_at=at,
        )
        return moved, Move(one.id, one.parent_id, joined, at, why)

    def _contradict(
        self, one: Identity, customer: str, event_id: str, naming: Naming, reason: Refusal
    ) -> None:
        conflict = Conflict(
            one.id, customer, one.canonical_id, event_id, naming.received_at, reason
        )
        self.conflicts.setdefault((one.id, customer), conflict)


def part(one: Identity, at: datetime) -> tuple[Identity, Move]:
    """Undoes what links a visitor: it stands for itself, and no event links it again."""
    assert one.parent_id is not None, "it was linked"
    assert not one.known, "events do not link a known id"
    told = max(at, one.told_at or at)
    move = Move(one.id, one.parent_id, None, told, "undone")
    alone = replace(
        one,
        canonical_id=one.id,
        parent_id=None,
        linked_at=None,
        linked_by=None,
        barred=True,
        told_at=told,
    )
    return alone, move
