"""Which ids belong to one person: every id leads to exactly one canonical id.

An id that was named as a customer is *known* and is never absorbed: two known customers are not
merged because a device saw both. An anonymous id stands for itself until one event names it
together with a customer; the first such link holds, a later one that contradicts it is kept as a
conflict. Absorbed ids point straight at a known id, so there are no chains. Only so many ids may
lead to one: what goes on linking is a shop's test account or a till, and no person; a further link
is kept as a conflict, and its id stands for itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Identity:
    """One id. `appeared` tells that events left under it as their subject before it was linked.
    `linked_by` is the id of the event that linked it."""

    id: str
    canonical_id: str
    first_seen_at: datetime
    known: bool = False
    appeared: bool = False
    linked_at: datetime | None = None
    linked_by: str | None = None

    @property
    def absorbed(self) -> bool:
        return self.canonical_id != self.id

    @property
    def settled(self) -> bool:
        """Nothing that happens later changes where this id leads, so it needs no lock."""
        return self.absorbed or self.known


@dataclass(frozen=True, slots=True)
class Naming:
    """The ids that one event names. `leaves` is False for a repetition that is not published."""

    event_id: str
    customer_id: str | None
    anonymous_id: str | None
    at: datetime
    leaves: bool = True


@dataclass(frozen=True, slots=True)
class Conflict:
    """`anonymous_id` belongs to `kept_id` (perhaps itself), and an event named it with
    `customer_id`."""

    anonymous_id: str
    customer_id: str
    kept_id: str
    event_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Resolved:
    """Whom an event is about. `alias` is the id it named, where that is not the canonical one;
    `absorbed` an id that belongs to `subject` from now on."""

    subject: str
    alias: str | None
    absorbed: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One `Resolved` per naming, in order; the identities as they are now, if they changed."""

    resolved: Sequence[Resolved]
    changed: Sequence[Identity]
    conflicts: Sequence[Conflict]


def linking(identities: Mapping[str, Identity], namings: Sequence[Naming]) -> set[str]:
    """The canonical ids that may get a further id: those whose links have to be counted."""
    found: set[str] = set()
    for naming in namings:
        if naming.customer_id is None or naming.anonymous_id in (None, naming.customer_id):
            continue
        visitor = identities.get(naming.anonymous_id or "")
        if visitor is None or not visitor.settled:
            customer = identities.get(naming.customer_id)
            found.add(customer.canonical_id if customer is not None else naming.customer_id)
    return found


def resolve(
    identities: Mapping[str, Identity],
    namings: Sequence[Naming],
    links: Mapping[str, int] = MappingProxyType({}),
    links_max: int = 1_000,
) -> Outcome:
    """Goes through the namings in order. An id that is not in `identities` was never seen.

    `links` tells how many ids lead to a canonical one already, of which `links_max` may.
    """
    book = _Book(identities, links, links_max)
    resolved = [book.admit(naming) for naming in namings]
    return Outcome(resolved, book.changed(), tuple(book.conflicts.values()))


class _Book:
    """The identities of a batch while it is decided upon."""

    def __init__(
        self, identities: Mapping[str, Identity], links: Mapping[str, int], links_max: int
    ) -> None:
        self._before = identities
        self._links = dict(links)
        self._links_max = links_max
        self._now = dict(identities)
        self.conflicts: dict[tuple[str, str], Conflict] = {}

    def changed(self) -> list[Identity]:
        return [one for name, one in self._now.items() if self._before.get(name) != one]

    def admit(self, naming: Naming) -> Resolved:
        if naming.customer_id is None:
            assert naming.anonymous_id is not None, "the door asks for one of the two"
            return self._anonymous(naming.anonymous_id, naming)
        customer = self._customer(naming.customer_id, naming)
        absorbed = None
        if naming.anonymous_id is not None and naming.anonymous_id != naming.customer_id:
            absorbed = self._link(naming.anonymous_id, customer, naming)
        alias = customer.id if customer.absorbed else None
        return Resolved(customer.canonical_id, alias, absorbed)

    def _seen(self, name: str, naming: Naming) -> Identity:
        return self._now.get(name) or Identity(name, name, naming.at)

    def _anonymous(self, name: str, naming: Naming) -> Resolved:
        one = self._seen(name, naming)
        if not one.settled and naming.leaves:
            one = replace(one, appeared=True)
        self._now[name] = one
        return Resolved(one.canonical_id, name if one.absorbed else None)

    def _customer(self, name: str, naming: Naming) -> Identity:
        one = self._seen(name, naming)
        if not one.known:
            one = replace(one, known=True)
        self._now[name] = one
        return one

    def _link(self, name: str, customer: Identity, naming: Naming) -> str | None:
        """Links an anonymous id to a customer; answers it when that is new, so that it is told."""
        one = self._seen(name, naming)
        if one.settled:
            if one.canonical_id != customer.canonical_id:
                self._contradict(one, customer, naming)
            return None
        links = self._links.get(customer.canonical_id, 0)
        if links >= self._links_max:
            self._now[name] = one
            self._contradict(one, customer, naming)
            return None
        self._links[customer.canonical_id] = links + 1
        self._now[name] = replace(
            one,
            canonical_id=customer.canonical_id,
            linked_at=naming.at,
            linked_by=naming.event_id,
        )
        # Told even when nothing happened under it yet: later events will name it as their alias,
        # and whoever keeps state per original id must know whose it is.
        return name

    def _contradict(self, one: Identity, customer: Identity, naming: Naming) -> None:
        conflict = Conflict(one.id, customer.id, one.canonical_id, naming.event_id, naming.at)
        self.conflicts.setdefault((one.id, customer.id), conflict)
