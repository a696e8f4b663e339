"""Who is whom: merges as links between ids, and the one id that stands for a person.

Facts stay with the id they came with. A merge is a link from the absorbed id to its survivor, so it
can be undone exactly. The latest word about an absorbed id counts, whatever arrives first.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from shared.events.engagement import CustomerErased, CustomerMerged, CustomerUnmerged
from shared.ids import CustomerId, derived_id


@dataclass(frozen=True, slots=True)
class Link:
    """What was last said of an absorbed id: it belongs to `survivor`, or (not `linked`) no more."""

    absorbed: CustomerId
    survivor: CustomerId
    linked: bool
    changed_at: datetime
    changed_by: str


class Veil(NamedTuple):
    """What happened before `erased_at` belongs to the pseudonym."""

    erased_at: datetime
    pseudonym: CustomerId


@dataclass(frozen=True, slots=True)
class Erasure:
    """A customer whose past belongs to nobody any more."""

    customer: CustomerId
    veil: Veil


def link_of(event: CustomerMerged | CustomerUnmerged) -> Link:
    """The link that a merge makes or an unmerge undoes."""
    return Link(
        event.subject,
        event.data.survivor_id,
        isinstance(event, CustomerMerged),
        event.time,
        event.id,
    )


def latest(links: Iterable[Link]) -> dict[CustomerId, Link]:
    """The last word per absorbed id, by time; of the same time the last of `links`, for an id's
    merges and unmerges keep their order on the log."""
    found: dict[CustomerId, Link] = {}
    for link in links:
        known = found.get(link.absorbed)
        if known is None or known.changed_at <= link.changed_at:
            found[link.absorbed] = link
    return found


def roots(links: Mapping[CustomerId, Link]) -> dict[CustomerId, CustomerId]:
    """The id that stands for the person, for every absorbed id; an unlinked one stands for itself.

    Ids that were merged in a circle are all stood for by the smallest.
    """
    return {absorbed: _root(absorbed, links) for absorbed in links}


def _root(start: CustomerId, links: Mapping[CustomerId, Link]) -> CustomerId:
    path = [start]
    while (link := links.get(path[-1])) is not None and link.linked:
        if link.survivor in path:
            return min(path[path.index(link.survivor) :])
        path.append(link.survivor)
    return path[-1]


class Change(NamedTuple):
    """What to save: the absorbed ids without a link from now on, and the links that are new or have
    another id standing for them. `people` are all ids that stand, or stood, for somebody else."""

    gone: frozenset[CustomerId]
    links: Mapping[Link, CustomerId]
    people: frozenset[CustomerId]


def changed(before: Mapping[Link, CustomerId], after: Mapping[CustomerId, Link]) -> Change:
    """From the links there were, with who stood for each absorbed id, to those there are."""
    now = {link: root for link, root in _with_roots(after).items() if before.get(link) != root}
    gone = {link.absorbed for link in before} - after.keys()
    moved = {link.absorbed for link in now} | gone
    old = {root for link, root in before.items() if link.absorbed in moved}
    return Change(frozenset(gone), now, frozenset(moved | old | set(now.values())))


def _with_roots(links: Mapping[CustomerId, Link]) -> dict[Link, CustomerId]:
    found = roots(links)
    return {link: found[absorbed] for absorbed, link in links.items()}


def erasure_of(event: CustomerErased) -> Erasure:
    """Ids erased by one request share a pseudonym, so that they go on counting as one person."""
    return Erasure(event.subject, Veil(event.time, pseudonym_of(event.data.erasure_id)))


def pseudonym_of(erasure_id: str) -> CustomerId:
    """A name that does not depend on the customer's id."""
    return CustomerId(f"erased-{derived_id(erasure_id, 'erased')}")


def erasure_key(customer: CustomerId) -> bytes:
    """16 bytes that tell late events of an erased customer, without the id itself."""
    return hashlib.blake2b(customer.encode(), digest_size=16, person=b"tenure-erased").digest()


def holder(customer: CustomerId, at: datetime, veils: Mapping[bytes, Sequence[Veil]]) -> CustomerId:
    """To whom something at `at` belongs: the pseudonym, if the customer was erased after it."""
    later = _later(customer, at, veils)
    return min(later).pseudonym if later else customer


@dataclass(frozen=True, slots=True)
class Settled:
    """What is left of some links, and who is erased."""

    links: Mapping[CustomerId, Link]
    erasures: Sequence[Erasure]


def settle(
    links: Mapping[CustomerId, Link],
    erased: Sequence[Erasure],
    veils: Mapping[bytes, Sequence[Veil]],
) -> Settled:
    """Who goes with `erased`, and which of `links` outlive them.

    An erasure takes everybody who was the same person by then, also when their merge is heard of
    later (`veils` are the erasures of before). Links older than an erasure of either end go too.
    """
    late = [
        Erasure(link.absorbed, min(later))
        for link in links.values()
        if link.linked and (later := _later(link.survivor, link.changed_at, veils))
    ]
    everyone = {
        Erasure(member, one.veil)
        for one in (*erased, *late)
        for member in _same_person(one.customer, links, one.veil.erased_at)
    }
    known: dict[bytes, list[Veil]] = {key: list(some) for key, some in veils.items()}
    for one in everyone:
        known.setdefault(erasure_key(one.customer), []).append(one.veil)
    kept = {
        absorbed: link
        for absorbed, link in links.items()
        if not _later(absorbed, link.changed_at, known)
        and not _later(link.survivor, link.changed_at, known)
    }
    return Settled(kept, sorted(everyone, key=lambda one: (one.customer, one.veil)))


def _same_person(
    customer: CustomerId, links: Mapping[CustomerId, Link], before: datetime
) -> set[CustomerId]:
    old = {absorbed: link for absorbed, link in links.items() if link.changed_at < before}
    root = _root(customer, old)
    return {customer, root} | {absorbed for absorbed in old if _root(absorbed, old) == root}


def _later(customer: CustomerId, at: datetime, veils: Mapping[bytes, Sequence[Veil]]) -> list[Veil]:
    known = veils.get(erasure_key(customer), ()) if veils else ()
    return [veil for veil in known if at < veil.erased_at]
