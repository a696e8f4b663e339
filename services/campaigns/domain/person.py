"""Who is who: ids that were merged are one person, whose state is combined when it is read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shared.events.envelope import Event
from shared.ids import CustomerId

# What a customer's id becomes when the person is erased; rows stay so that sums stay right.
TOMBSTONE_PREFIX = "erased:"


@dataclass(frozen=True, slots=True)
class Person:
    """`ids` in order; `canonical` is the id that survived the merges."""

    canonical: str
    ids: tuple[str, ...]


def original(event: Event) -> CustomerId:
    """The id that an event named: what it tells stays with it, so that an unmerge gives it back."""
    return event.alias or event.subject


def people_of(wanted: Iterable[str], survivors: Mapping[str, str]) -> dict[str, Person]:
    """The person behind each id, given the links absorbed → survivor of everybody concerned."""
    linked: dict[str, set[str]] = {}
    for absorbed, survivor in survivors.items():
        linked.setdefault(absorbed, set()).add(survivor)
        linked.setdefault(survivor, set()).add(absorbed)
    found: dict[str, Person] = {}
    for start in wanted:
        if start not in found:
            person = _person(start, linked, survivors)
            found.update(dict.fromkeys(person.ids, person))
    return found


def _person(start: str, linked: Mapping[str, set[str]], survivors: Mapping[str, str]) -> Person:
    ids, open_ids = {start}, [start]
    while open_ids:
        for other in linked.get(open_ids.pop(), ()):
            if other not in ids:
                ids.add(other)
                open_ids.append(other)
    roots = sorted(one for one in ids if one not in survivors)
    return Person(roots[0] if roots else min(ids), tuple(sorted(ids)))


def is_erased(customer: str) -> bool:
    """Whether the id is what erasing left."""
    return customer.startswith(TOMBSTONE_PREFIX)
