"""Sums over people: what each person stands for in them, and how they move when that changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import NamedTuple, Self

from shared.ids import CustomerId

NO_SEGMENT = ""


class Group(NamedTuple):
    """Those who share an assessment's words."""

    band: str
    segment: str
    lifecycle: str
    currency: str


class Standing(NamedTuple):
    """How many they are, and sums over them."""

    people: int = 0
    risk: Decimal = Decimal(0)
    clv_historic: Decimal = Decimal(0)
    clv_predicted: Decimal = Decimal(0)

    def plus(self, other: Self, sign: int = 1) -> "Standing":
        return Standing(
            self.people + sign * other.people,
            self.risk + sign * other.risk,
            self.clv_historic + sign * other.clv_historic,
            self.clv_predicted + sign * other.clv_predicted,
        )


class Person(NamedTuple):
    """What is counted of a person: the first day of all their ids, the rest of the id that stands
    for them. Without an assessment there is neither group nor standing."""

    first_seen_on: date | None
    group: Group | None
    standing: Standing | None
    tier: str | None

    @property
    def segment(self) -> str:
        return self.group.segment if self.group is not None else NO_SEGMENT


@dataclass(frozen=True, slots=True)
class Sums:
    """People by the day they were first heard of, by standing and by tier; or how these differ.

    The text beside a day and a tier is the segment.
    """

    arrivals: dict[tuple[date, str], int] = field(default_factory=dict)
    standings: dict[Group, Standing] = field(default_factory=dict)
    tiers: dict[tuple[str, str], int] = field(default_factory=dict)

    def count(self, person: Person, sign: int) -> None:
        """Adds a person, or takes them away."""
        if person.first_seen_on is not None:
            arrived = (person.first_seen_on, person.segment)
            self.arrivals[arrived] = self.arrivals.get(arrived, 0) + sign
        if person.tier is not None:
            member = (person.tier, person.segment)
            self.tiers[member] = self.tiers.get(member, 0) + sign
        if person.group is not None and person.standing is not None:
            so_far = self.standings.get(person.group, Standing())
            self.standings[person.group] = so_far.plus(person.standing, sign)


def moved(before: Mapping[CustomerId, Person], after: Mapping[CustomerId, Person]) -> Sums:
    """How the sums change when these people change; one who is missing is nobody (any more)."""
    sums = Sums()
    for customer in before.keys() | after.keys():
        old, new = before.get(customer), after.get(customer)
        if old != new:
            if old is not None:
                sums.count(old, -1)
            if new is not None:
                sums.count(new, 1)
    return sums


def of_segment(sums: Sums, segment: str | None) -> Sums:
    """The part of the sums that is about one segment, or all of it, without groups of nobody."""

    def wanted(other: str) -> bool:
        return segment is None or other == segment != NO_SEGMENT

    return Sums(
        {key: people for key, people in sums.arrivals.items() if people and wanted(key[1])},
        {
            group: one
            for group, one in sums.standings.items()
            if one.people and wanted(group.segment)
        },
        {key: people for key, people in sums.tiers.items() if people and wanted(key[1])},
    )


def arrived(sums: Sums, first: date, end: date) -> int:
    """People who were first heard of from `first` on, before `end`."""
    return sum(people for (day, _), people in sums.arrivals.items() if first <= day < end)


def members(sums: Sums) -> dict[str, int]:
    """People by tier."""
    found: dict[str, int] = {}
    for (tier, _), people in sorted(sums.tiers.items()):
        found[tier] = found.get(tier, 0) + people
    return found
