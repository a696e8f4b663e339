"""Violations of the tracking plan, counted by type of event, field and rule."""

import dataclasses
from collections.abc import Iterable
from typing import NamedTuple


class Broken(NamedTuple):
    """One rule that one event broke; `rejection_id` tells that it was refused for it."""

    event_type: str
    field: str
    rule: str
    event_id: str | None
    rejection_id: str | None = None


@dataclasses.dataclass(slots=True)
class Violation:
    """How often a rule was broken, with a few examples, the newest first."""

    event_type: str
    field: str
    rule: str
    warned: int = 0
    rejected: int = 0
    event_ids: list[str] = dataclasses.field(default_factory=list)
    rejection_ids: list[str] = dataclasses.field(default_factory=list)


def count(broken: Iterable[Broken], examples_max: int) -> list[Violation]:
    """One for each kind, in the order of their names, in which their rows are locked too."""
    found: dict[tuple[str, str, str], Violation] = {}
    for one in broken:
        key = one.event_type, one.field, one.rule
        violation = found.setdefault(key, Violation(*key))
        if one.rejection_id is None:
            violation.warned += 1
        else:
            violation.rejected += 1
        _keep(violation.event_ids, one.event_id, examples_max)
        _keep(violation.rejection_ids, one.rejection_id, examples_max)
    return [found[key] for key in sorted(found)]


def _keep(examples: list[str], one: str | None, examples_max: int) -> None:
    if one is not None and one not in examples:
        examples.insert(0, one)
        del examples[examples_max:]
