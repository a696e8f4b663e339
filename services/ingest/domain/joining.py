"""Known ids that are one person: joined by aliases, and by verified traits that they share.

The persons are what the aliases and traits in force connect, whatever came first: taking one of
them away leaves exactly what the others connect. Who stands for a person is an id that no alias
names as a previous one, the smallest of them; so an alias decides who survives where it can.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from services.ingest.domain.identity import BY_EVENT, Identity, Move


class Alias(NamedTuple):
    """An operator or a backend said that two ids are one customer's."""

    previous_id: str
    customer_id: str


class Holding(NamedTuple):
    """A customer has a verified trait, known by its digest."""

    customer_id: str
    digest: bytes


def firsts(told: Iterable[Holding], held: Iterable[bytes]) -> list[Holding]:
    """Of what is told, in order, that which nobody had before (`held` are the traits of others): it
    joins nobody yet."""
    taken, found = set(held), list[Holding]()
    for holding in told:
        if holding.digest not in taken:
            taken.add(holding.digest)
            found.append(holding)
    return found


def persons(
    ids: Iterable[str], aliases: Iterable[Alias], holdings: Iterable[Holding]
) -> dict[str, str]:
    """The canonical id of each of `ids`; aliases and holdings of other ids do not count."""
    leads = {one: one for one in ids}
    previous: set[str] = set()
    for alias in aliases:
        if alias.previous_id in leads and alias.customer_id in leads:
            previous.add(alias.previous_id)
            _unite(leads, alias.previous_id, alias.customer_id)
    first: dict[bytes, str] = {}
    for holding in holdings:
        if holding.customer_id in leads:
            other = first.setdefault(holding.digest, holding.customer_id)
            _unite(leads, holding.customer_id, other)
    best: dict[str, str] = {}
    for one in sorted(leads, key=lambda name: (name in previous, name)):
        best.setdefault(_end(leads, one), one)
    return {one: best[_end(leads, one)] for one in leads}


def _end(leads: dict[str, str], one: str) -> str:
    while leads[one] != one:
        leads[one] = leads[leads[one]]
        one = leads[one]
    return one


def _unite(leads: dict[str, str], one: str, other: str) -> None:
    leads[_end(leads, one)] = _end(leads, other)


class Link(NamedTuple):
    """The event that links a visitor to a customer, and when it happened."""

    customer: Identity
    event_id: str
    happened_at: datetime


def release(one: Identity, link: Link | None, at: datetime) -> tuple[Identity, Move | None]:
    """An id that aliases alone had made known, and that none names any more, is a visitor as it was
    before: with the `link` that it had."""
    assert one.alias_only, "what an event named as a customer stays one"
    assert not one.absorbed, "neither aliases nor traits join it"
    visitor = replace(one, known=False, alias_only=False)
    if link is None:
        return visitor, None
    told = max(at, one.told_at or at)
    visitor = replace(
        visitor,
        canonical_id=link.customer.canonical_id,
        parent_id=link.customer.id,
        linked_at=link.happened_at,
        linked_by=link.event_id,
        barred=False,
        told_at=told,
    )
    return visitor, Move(one.id, None, link.customer.id, told, BY_EVENT)


class Regrouped(NamedTuple):
    """Known ids that lead elsewhere now, and what is to be told about them."""

    changed: Sequence[Identity]
    moves: Sequence[Move]


def regroup(
    identities: Iterable[Identity], canonical: Mapping[str, str], at: datetime, why: str
) -> Regrouped:
    """Makes known ids lead to their canonical ones, straight, as of `at`.

    The moves are in an order in which there is never a circle, and never a part of a person by
    itself: who changes sides, who leaves for good, who leaves to stand for the others, who joins
    (first those who stood for a person before), and who only follows one of these.
    """
    changed: list[Identity] = []
    moves: list[Move] = []
    for one in sorted(identities, key=lambda each: each.id):
        assert one.known, "a visitor is moved with its customer"
        leads_to = canonical[one.id]
        if leads_to == one.canonical_id:
            continue
        joined = leads_to if leads_to != one.id else None
        told = max(at, one.told_at or at)
        changed.append(replace(one, canonical_id=leads_to, parent_id=joined, told_at=told))
        moves.append(Move(one.id, one.parent_id, joined, told, why))
    return Regrouped(changed, _in_turn(moves, canonical))


def _in_turn(moves: Sequence[Move], canonical: Mapping[str, str]) -> list[Move]:
    # New roots, and who stood for the same person before them.
    heirs = {move.id: move.left for move in moves if canonical.get(move.left or "") == move.id}
    stood_before = set(heirs.values())

    def turn(move: Move) -> tuple[int, str]:
        if move.left is None:
            return (3 if move.id in stood_before else 4), move.id
        if move.joined is not None:
            return (5 if canonical.get(move.left) == move.joined else 0), move.id
        return (2 if move.id in heirs else 1), move.id

    return sorted(moves, key=turn)
