"""What happens to a customer changes the picture: fold, assess, tell."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

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
# More visits than one event causes.
_PARTS_FROM = 1_000_000


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
    planner.finish()
    outcomes = assess(planner.visits, world.standings(), rules, tx.clock.at)
    await worlds.save(tx.driver, world)
    kept = [one for one in outcomes if one.visit.customer_id not in world.dropped]
    await _keep(tx, kept, world.currents, rules)
    await _record(tx, outcomes, rules)
    tx.publish_all(news(outcomes, rules))
    _withdraw(tx, world.dropped)


class _Stood(NamedTuple):
    """A customer before a link changed: their ids, what those did, and the instant."""

    members: list[CustomerId]
    state: CustomerState | None
    at: datetime


@dataclass(slots=True)
class Planner:
    """Folds events into a world and notes which states are to be assessed, as of when."""

    world: World
    sentiments: Mapping[Told, int]
    ids_max: int
    visits: list[Visit] = field(default_factory=list)
    _visited: set[CustomerId] = field(default_factory=set)
    # How many visits the event at hand has caused.
    _ordinal: int = 0
    # Customers of whom only a part was left by this event, at this instant.
    _waiting: dict[CustomerId, tuple[Event, datetime]] = field(default_factory=dict)

    def take(self, event: Event, at: datetime) -> None:
        self._ordinal = 0
        if type(event) not in LINKING:
            self._fold(event, at)
        elif isinstance(event, CustomerMerged | CustomerUnmerged):
            self._relate(event, at)

    def finish(self) -> None:
        """Visits the parts of persons whose rest was not heard of within the batch."""
        for place, (root, (event, at)) in enumerate(list(self._waiting.items())):
            # Beyond all visits that the event caused itself.
            self._ordinal = _PARTS_FROM + place
            if self.world.root(root) == root:
                self._visit(root, event, instant(at, self.world.as_of(root)), at)

    def _fold(self, event: Event, at: datetime) -> None:
        world, original = self.world, original_of(event)
        if event.alias is not None and self._is_unheard_of(original):
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

    def _is_unheard_of(self, one: CustomerId) -> bool:
        """Who stood for others ends by a merge only: that needs all of their ids at hand."""
        world = self.world
        known = one in world.links or one in world.states or world.size(one) > 1
        return not (known or one in world.currents or one in self._visited)

    def _relate(self, event: CustomerMerged | CustomerUnmerged, at: datetime) -> None:
        """Leads an id where it belongs from now on, and what that lets in of those held apart."""
        absorbed, survivor = event.subject, event.data.survivor_id
        if isinstance(event, CustomerMerged):
            self._lead(event, absorbed, survivor, at)
        else:
            # Where it goes is told here: heard of between the two, it is not taken to be alone.
            data = event.data
            joins = data.joins or absorbed
            self._lead(event, absorbed, joins, at, left=survivor, whole=data.together is True)
        for held, parent in sorted(self.world.held.items()):
            if self._fits(held, parent):
                self._lead(event, held, parent, at)

    def _lead(
        self,
        event: Event,
        original: CustomerId,
        parent: CustomerId,
        at: datetime,
        *,
        left: CustomerId | None = None,
        whole: bool = False,
    ) -> None:
        """Leads an id to another, or to itself, and visits every customer whose ids that changes.

        A customer who ends leaves their place to whom they are now. `whole` says that the parts of
        a person are on their way to another root: they wait for the rest until the batch ends.
        """
        world = self.world
        near = dict.fromkeys((left or parent, parent, original))
        before: dict[CustomerId, _Stood] = {}
        for root in dict.fromkeys(map(world.root, near)):
            as_of = instant(at, world.as_of(root))
            self._stand(root, as_of)
            before[root] = _Stood(world.members(root), world.combined(root), as_of)
        self._link(event, original, parent)
        world.gather_all(world.root(original))
        for root in dict.fromkeys(map(world.root, (*before, *near))):
            ended = [one for one in before if one != root and world.root(one) == root]
            for one in ended:
                self._end(one, before[one])
            known = before.get(root)
            if known is not None and known.members == world.members(root):
                continue
            if whole and not ended:
                self._remain(root, known)
                self._waiting[root] = (event, at)
                continue
            as_of = instant(at, world.as_of(root))
            absorbs = ended[0] if ended else None
            self._visit(root, event, as_of, at, fresh=known is None, absorbs=absorbs)

    def _link(self, event: Event, original: CustomerId, parent: CustomerId) -> None:
        """Makes two ids one person from now on: not beyond what one person can have.

        The shared id of a kiosk or a mailing list would otherwise make every one of its events as
        dear as all of its ids together. Who is held apart is let in when there is room.
        """
        world = self.world
        if world.leads(original, parent):
            return
        if original in world.links:
            world.link(original, original)
        if self._fits(original, parent):
            world.link(original, parent)
        else:
            _log.warning("ids stay apart", cause=event.id, ids_max=self.ids_max)
            world.hold(original, parent)

    def _fits(self, original: CustomerId, parent: CustomerId) -> bool:
        one, other = self.world.root(original), self.world.root(parent)
        return one == other or self.world.size(one) + self.world.size(other) <= self.ids_max

    def _end(self, root: CustomerId, stood: _Stood) -> None:
        """Reviews that fell due before an id was merged away are made first."""
        self._remain(root, stood)
        self._waiting.pop(root, None)
        self.world.dropped.add(root)

    def _remain(self, root: CustomerId, stood: _Stood | None) -> None:
        """Notes up to when a customer was what they were."""
        if stood is not None and stood.state is not None:
            self.visits.append(Visit(root, stood.state, stood.at, "", stood.at, silent=True))

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
        fresh: bool = False,
        absorbs: CustomerId | None = None,
    ) -> None:
        state = self.world.combined(root)
        self._waiting.pop(root, None)
        if state is None:
            if root in self.world.currents or root in self._visited:
                self.world.dropped.add(root)
            return
        # Who had ended within the batch begins anew, as after a batch that ended there.
        fresh = fresh or root in self.world.dropped
        self._visited.add(root)
        self.world.dropped.discard(root)
        ordinal, self._ordinal = self._ordinal, self._ordinal + 1
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
