"""Histories of `ingest.events` as ingest's own decisions produce them: visits, orders, and who is
who, with corrections, aliases, traits and what is undone of them."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from services.ingest.domain.identity import Identity, Move, Naming, part, resolve
from services.ingest.domain.joining import Alias, Holding, persons, regroup
from services.ingest.handlers.telling import tell
from shared.events.commerce import OrderCompleted
from shared.events.engagement import CustomerMerged, CustomerUnmerged, SessionStarted
from shared.events.envelope import Event
from shared.ids import CustomerId
from shared.testing.builders import NOON, event

CUSTOMERS, VISITORS = "abcd", "vwxy"
Leads = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Step:
    """What one cause tells. `between` says who leads where at each moment at which the persons are
    what somebody decided, the first and the last among them."""

    events: Sequence[Event]
    between: Sequence[Leads]


@dataclass(slots=True)
class Ingest:
    """Decides as ingest does, without a database."""

    dice: random.Random
    steps: list[Step] = field(default_factory=list)
    _ids: dict[str, Identity] = field(default_factory=dict)
    _aliases: list[Alias] = field(default_factory=list)
    _holdings: list[Holding] = field(default_factory=list)
    _told: list[Event] = field(default_factory=list)
    _between: list[Leads] = field(default_factory=list)
    _serial: int = 0

    def publish(self, one: Event) -> None:
        self._told.append(one)

    def step(self) -> None:
        self._serial += 1
        self._told, self._between = [], [self._leads()]
        at = NOON + timedelta(days=self.dice.randrange(500))
        roll = self.dice.random()
        if roll < 0.6:
            self._happen(at)
        elif roll < 0.7:
            holding = Holding(self._known(), self.dice.choice([b"e-mail", b"phone"]))
            self._holdings = list(dict.fromkeys([*self._holdings, holding]))
            self._regroup(at, ())
        elif roll < 0.85:
            self._alias(at)
        else:
            self._undo(at)
        self.steps.append(Step(self._told, self._between))

    def _leads(self) -> Leads:
        return {name: one.canonical_id for name, one in self._ids.items()}

    def _known(self) -> str:
        known = [name for name, one in self._ids.items() if one.known]
        return self.dice.choice(known) if known else self._happen(NOON)

    def _happen(self, at: datetime) -> str:
        customer = self.dice.choice([None, *CUSTOMERS, *CUSTOMERS, "v"])
        visitor = self.dice.choice([None, *VISITORS]) if customer else self.dice.choice(VISITORS)
        naming = Naming(f"e-{self._serial}", customer, visitor, at, at)
        outcome = resolve(self._ids, [naming])
        (resolved,) = outcome.resolved
        leads = dict(self._leads())
        self._keep(outcome.changed)
        for move in resolved.moves:
            leads[move.id] = self._ids[move.joined].canonical_id if move.joined else move.id
            self._between.append(dict(leads))
        self._tell(resolved.moves)
        named: dict[str, Any] = {"customer": resolved.subject, "alias": resolved.alias, "at": at}
        if self.dice.random() < 0.5:
            self.publish(event(SessionStarted, **named))
        else:
            self.publish(event(OrderCompleted, order_id=f"o-{self._serial}", **named))
        self._between.append(self._leads())
        return resolved.subject

    def _alias(self, at: datetime) -> None:
        alias = Alias(*self.dice.sample([*CUSTOMERS, self.dice.choice(VISITORS)], 2))
        if alias in self._aliases:
            return
        partings = [move for name in alias for move in self._own(name, at)]
        self._between.append(self._leads())
        self._aliases.append(alias)
        self._regroup(at, partings)

    def _own(self, name: str, at: datetime) -> list[Move]:
        one = self._ids.get(name) or Identity(name, name, at)
        moves = []
        if not one.known and one.parent_id is not None:
            one, move = part(one, at)
            moves.append(move)
        self._keep([replace(one, known=True)])
        return moves

    def _undo(self, at: datetime) -> None:
        linked = [one for one in self._ids.values() if not one.known and one.parent_id]
        facts: list[Any] = [*self._aliases, *self._holdings, *linked]
        if not facts:
            return
        fact = self.dice.choice(facts)
        if isinstance(fact, Identity):
            alone, move = part(fact, at)
            self._keep([alone])
            self._tell([move])
            self._between.append(self._leads())
            return
        self._aliases = [one for one in self._aliases if one != fact]
        self._holdings = [one for one in self._holdings if one != fact]
        self._regroup(at, ())

    def _regroup(self, at: datetime, partings: Sequence[Move]) -> None:
        known = {name: one for name, one in self._ids.items() if one.known}
        group = regroup(known.values(), persons(known, self._aliases, self._holdings), at, "a fact")
        self._keep(group.changed)
        self._tell([*partings, *group.moves])
        self._between.append(self._leads())

    def _keep(self, changed: Sequence[Identity]) -> None:
        """Visitors go where their customers go."""
        self._ids |= {one.id: one for one in changed}
        for name, one in self._ids.items():
            if not one.known and one.parent_id is not None:
                leads_to = self._ids[one.parent_id].canonical_id
                self._ids[name] = replace(one, canonical_id=leads_to)

    def _tell(self, moves: Sequence[Move]) -> None:
        listener: Any = self
        key = f"step-{self._serial}"
        tell(listener, moves, key=key, cause=key, recorded_at=NOON)


def history(seed: int, steps: int) -> list[Step]:
    """What one shop tells, step by step."""
    ingest = Ingest(random.Random(seed))
    for _ in range(steps):
        ingest.step()
    return ingest.steps


def interleaved(events: Sequence[Event], dice: random.Random) -> list[Event]:
    """The same events as partitions may deliver them: in order for each key, and only for it."""
    waiting: dict[CustomerId, list[Event]] = {}
    for one in reversed(events):
        waiting.setdefault(one.subject, []).append(one)
    ahead = {key: dice.random() for key in waiting}
    found: list[Event] = []
    while waiting:
        key = dice.choices(list(waiting), [ahead[each] ** 3 for each in waiting])[0]
        found.append(waiting[key].pop())
        if not waiting[key]:
            del waiting[key]
    return found


def never_alone(events: Sequence[Event]) -> set[CustomerId]:
    """The ids of which nothing was ever told but to whom they belong: each merge came before all
    they did, and nobody else was told to belong to them."""
    ids: set[CustomerId] = set()
    alone: set[CustomerId] = set()
    for one in events:
        if isinstance(one, CustomerMerged):
            ids.add(one.subject)
            alone.add(one.data.survivor_id)
        elif isinstance(one, CustomerUnmerged):
            alone |= {one.data.survivor_id} if one.data.joins else {one.subject}
        else:
            alone.add(one.subject)
    return ids - alone
