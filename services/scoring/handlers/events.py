"""What happens to a customer changes the picture: fold, assess, tell."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.scoring.domain.features import CustomerState, after
from services.scoring.domain.telling import news
from services.scoring.domain.timeline import Outcome, Rules, Visit, assess, instant
from services.scoring.handlers import world as worlds
from services.scoring.handlers.means import Means, Told
from services.scoring.handlers.world import LINKING, ORDERS, World, order_named, original_of
from services.scoring.store import assessments, people
from services.scoring.store.assessments import Change, Current
from services.scoring.store.people import Stored
from shared.events.campaigns import InterventionSent
from shared.events.engagement import CustomerErased, CustomerMerged, CustomerUnmerged
from shared.events.envelope import Event
from shared.events.topics import ASSESSMENTS
from shared.ids import CustomerId
from shared.runtime.db import Transaction
from shared.runtime.outbox import Row
from shared.runtime.telemetry import logger

_log = logger("scoring.events")


async def apply(
    tx: Transaction,
    events: Sequence[Event],
    *,
    now: datetime,  # noqa: ARG001 — events are judged as of their own instant
) -> None:
    """Folds the events and assesses their customers after each, as of its instant."""
    for part in _between_erasures(events):
        if isinstance(part[0], CustomerErased):
            await _erase(tx, part[0].subject)
        else:
            await _assess(tx, part)


async def note(
    tx: Transaction,
    events: Sequence[InterventionSent],
    *,
    now: datetime,  # noqa: ARG001 — nobody is assessed
) -> None:
    """Counts what was sent to customers that are known.

    Nobody is assessed for it: it comes on another topic, so its place among the customer's own
    events is an accident, and what is published must not depend on that.
    """
    world = await worlds.load(tx.driver, events)
    for event in events:
        stored = world.states.get(original_of(event))
        if stored is not None and stored.as_of is not None:
            world.put(original_of(event), after(stored.state, event, {}), stored.as_of)
    await worlds.save(tx.driver, world)


def _between_erasures(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    """The events in order, each erasure by itself."""
    part: list[Event] = []
    for event in events:
        if type(event) is CustomerErased:
            if part:
                yield part
            yield [event]
            part = []
        else:
            part.append(event)
    if part:
        yield part


async def _assess(tx: Transaction, events: Sequence[Event]) -> None:
    means: Means = tx.resources
    world = await worlds.load(tx.driver, events)
    rules = await means.rules(tx.driver)
    planner = Planner(world, means.sentiments(events), means.ids_max)
    for event in events:
        planner.take(event, tx.at(event))
    outcomes = assess(planner.visits, world.standings(), rules, tx.clock.at)
    await worlds.save(tx.driver, world)
    kept = [one for one in outcomes if one.visit.customer_id not in world.dropped]
    await _keep(tx, kept, world.currents, rules)
    await _record(tx, outcomes, rules)
    tx.publish_all(news(outcomes, rules))
    _withdraw(tx, world.dropped)


@dataclass(slots=True)
class Planner:
    """Folds events into a world and notes which states are to be assessed, as of when."""

    world: World
    sentiments: Mapping[Told, int]
    ids_max: int
    visits: list[Visit] = field(default_factory=list)
    _visited: set[CustomerId] = field(default_factory=set)

    def take(self, event: Event, at: datetime) -> None:
        if type(event) not in LINKING:
            self._fold(event, at)
        elif isinstance(event, CustomerMerged):
            self._merge(event, event.subject, event.data.survivor_id, at)
        elif isinstance(event, CustomerUnmerged):
            self._unmerge(event, event.subject, event.data.survivor_id, at)

    def _fold(self, event: Event, at: datetime) -> None:
        world, original = self.world, original_of(event)
        unknown = original not in world.links and original not in world.states
        if event.alias is not None and unknown:
            # Ingest knew the two as one before this id ever had an event of its own.
            self._link(event, original, event.subject)
        root = world.root(original)
        as_of = instant(at, world.as_of(root))
        self._stand(root, as_of)
        before = world.states.get(original, Stored()).state
        orders = world.orders.setdefault(original, {})
        sentiment = self.sentiments.get((event.source, event.id))
        world.put(original, after(before, event, orders, sentiment), as_of)
        if type(event) in ORDERS:
            world.gather(root, (order_named(event),))
        self._visit(root, event, as_of, at)

    def _merge(
        self, event: Event, absorbed: CustomerId, survivor: CustomerId, at: datetime
    ) -> None:
        world, alone = self.world, self.world.root(absorbed)
        together = world.root(survivor)
        for root in (together, alone):
            self._stand(root, instant(at, world.as_of(root)))
        was = world.combined(alone), instant(at, world.as_of(alone))
        if not self._link(event, absorbed, survivor):
            return
        root = world.root(absorbed)
        world.gather_all(root)
        if alone != root:
            self._end(alone, *was)
            world.dropped.add(alone)
        as_of = instant(at, world.as_of(root))
        self._visit(root, event, as_of, at, absorbs=alone if alone != root else None)

    def _link(self, event: Event, original: CustomerId, parent: CustomerId) -> bool:
        """Whether two ids are one person from now on: not beyond what one person can have.

        The shared id of a kiosk or a mailing list would otherwise make every one of its events as
        dear as all of its ids together.
        """
        world = self.world
        both = {*world.members(world.root(original)), *world.members(world.root(parent))}
        if len(both) > self.ids_max:
            _log.warning("ids stay apart", cause=event.id, ids=len(both), ids_max=self.ids_max)
            return False
        world.link(original, parent)
        return True

    def _end(self, alone: CustomerId, state: CustomerState | None, at: datetime) -> None:
        """Reviews that fell due before an id was merged away are made first."""
        if state is not None:
            self.visits.append(Visit(alone, state, at, "", at, silent=True))

    def _unmerge(
        self, event: Event, absorbed: CustomerId, survivor: CustomerId, at: datetime
    ) -> None:
        world = self.world
        together = world.root(absorbed)
        self._stand(together, instant(at, world.as_of(together)))
        world.link(absorbed, absorbed)
        world.dropped.discard(absorbed)
        root = world.root(survivor)
        self._visit(root, event, instant(at, world.as_of(root)), at)
        if root != absorbed:
            as_of = instant(at, world.as_of(absorbed))
            self._visit(absorbed, event, as_of, at, ordinal=1, fresh=True)

    def _stand(self, root: CustomerId, until: datetime) -> None:
        """Notes where time stood before the batch, when a review has fallen due since."""
        current, state = self.world.currents.get(root), self.world.combined(root)
        if root in self._visited or current is None or state is None:
            return
        if current.next_review_at is None or current.next_review_at > until:
            return
        stood = self.world.as_of(root) or current.as_of
        self._visited.add(root)
        self.visits.append(Visit(root, state, stood, "", stood, silent=True))

    def _visit(
        self,
        root: CustomerId,
        event: Event,
        as_of: datetime,
        at: datetime,
        *,
        ordinal: int = 0,
        fresh: bool = False,
        absorbs: CustomerId | None = None,
    ) -> None:
        state = self.world.combined(root)
        if state is None:
            if root in self.world.currents:
                self.world.dropped.add(root)
            return
        self._visited.add(root)
        self.visits.append(
            Visit(root, state, as_of, event.id, at, ordinal, False, fresh, event.source, absorbs)
        )


async def _keep(
    tx: Transaction,
    outcomes: Iterable[Outcome],
    before: Mapping[CustomerId, Current],
    rules: Rules,
) -> None:
    """Writes where customers stand, as of the last time that something of it changed."""
    changed: dict[CustomerId, Current] = {}
    for outcome in outcomes:
        customer, current = outcome.visit.customer_id, current_of(outcome, rules)
        known = changed.get(customer) or before.get(customer)
        if outcome.step.published or _moved(known, current):
            changed[customer] = current
    await assessments.save_current(tx.driver, changed)


def _moved(before: Current | None, current: Current) -> bool:
    return (
        before is None
        or before.next_review_at != current.next_review_at
        or before.model != current.model
        or before.standing.positions != current.standing.positions
    )


def current_of(outcome: Outcome, rules: Rules) -> Current:
    """Where an outcome leaves its customer."""
    return Current(
        outcome.step.standing, outcome.visit.as_of, outcome.next_review_at, rules.model.name
    )


async def _record(tx: Transaction, outcomes: Iterable[Outcome], rules: Rules) -> None:
    await assessments.record(tx.driver, changes_of(outcomes, rules))


def changes_of(outcomes: Iterable[Outcome], rules: Rules) -> list[tuple[CustomerId, Change]]:
    """The published outcomes as rows of history."""
    return [
        (
            one.visit.customer_id,
            Change(one.step.standing, one.visit.as_of, rules.model.name, one.visit.cause),
        )
        for one in outcomes
        if one.step.published
    ]


def _withdraw(tx: Transaction, customers: Iterable[CustomerId]) -> None:
    """Takes assessments off the compacted topic: these ids are nobody's any more."""
    tx.leaving.extend(
        Row(ASSESSMENTS.name, customer.encode(), None, "{}") for customer in sorted(customers)
    )


async def _erase(tx: Transaction, customer: CustomerId) -> None:
    """Removes everything kept of a person, under all their ids."""
    await people.own_identities(tx.driver)
    links = await people.load_links(tx.driver, [customer])
    root = links[customer].root_id if customer in links else customer
    ids = {customer, root} | {one for one, link in links.items() if link.root_id == root}
    await assessments.erase(tx.driver, ids)
    await people.erase(tx.driver, ids)
    _withdraw(tx, ids)
