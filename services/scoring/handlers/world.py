"""The customers that a batch of events is about, in memory between loading and saving."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from typing import Any

from services.scoring.domain.features import EMPTY, CustomerState, combine, exchanged
from services.scoring.domain.orders import UNKNOWN, Order, holder, join
from services.scoring.domain.standing import Standing
from services.scoring.store import assessments, people
from services.scoring.store.assessments import Current
from services.scoring.store.people import Driver, Link, OrderKey, Stored
from shared.events.commerce import OrderCancelled, OrderCompleted, OrderRefunded
from shared.events.engagement import CustomerMerged, CustomerUnmerged
from shared.events.envelope import Event
from shared.ids import CustomerId

# Asked for exact types first: `isinstance` of a model walks its abstract bases, for every event.
ORDERS = frozenset({OrderCompleted, OrderRefunded, OrderCancelled})
LINKING = frozenset({CustomerMerged, CustomerUnmerged})


@dataclass(slots=True)
class World:
    """States of original ids, and the customers (roots) that the links make of them.

    `orders` is what each id knows of orders, by their ids.
    """

    links: dict[CustomerId, Link]
    states: dict[CustomerId, Stored]
    currents: dict[CustomerId, Current]
    orders: dict[CustomerId, dict[str, Order]]
    dropped: set[CustomerId] = field(default_factory=set)
    changed_states: set[CustomerId] = field(default_factory=set)
    changed_links: set[CustomerId] = field(default_factory=set)
    known_orders: Mapping[OrderKey, Order] = field(default_factory=dict)
    # The ids of each customer that was ever linked.
    _members: dict[CustomerId, set[CustomerId]] = field(default_factory=dict)
    # The ids that stay apart from where they belong, because that person has too many, and where
    # that is.
    held: dict[CustomerId, CustomerId] = field(default_factory=dict)
    # For a customer: an id, and what all its others did; valid until one of those changes.
    _others: dict[CustomerId, tuple[CustomerId, CustomerState]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for one, link in self.links.items():
            self._members.setdefault(link.root_id, {link.root_id}).add(one)
            # It ends where it begins, and that is no circle.
            if link.root_id == one != self.root(link.parent_id):
                self.held[one] = link.parent_id

    def root(self, original: CustomerId) -> CustomerId:
        """The customer that an id belongs to."""
        link = self.links.get(original)
        return original if link is None else link.root_id

    def members(self, root: CustomerId) -> list[CustomerId]:
        """The ids that belong to a customer, itself included, in a fixed order."""
        return sorted(self._members.get(root) or [root])

    def size(self, root: CustomerId) -> int:
        """How many ids belong to a customer."""
        return len(self._members.get(root, (root,)))

    def leads(self, original: CustomerId, parent: CustomerId) -> bool:
        """Whether an id leads to `parent` already, on its way to the customer."""
        link = self.links.get(original)
        return link is not None and link.parent_id == parent and original not in self.held

    def combined(self, root: CustomerId) -> CustomerState | None:
        """What all ids of a customer did; None when nothing is known of any."""
        members = self._members.get(root)
        if members is None:
            stored = self.states.get(root)
            return None if stored is None else stored.state
        kept = self._others.get(root)
        if kept is not None:
            return combine(kept[1], self.states[kept[0]].state)
        known = [self.states[one].state for one in members if one in self.states]
        return reduce(combine, known) if known else None

    def as_of(self, root: CustomerId) -> datetime | None:
        """The latest instant as of which a customer was assessed."""
        instants = [
            self.states[one].as_of
            for one in self._members.get(root) or (root,)
            if one in self.states
        ]
        if root in self.currents:
            instants.append(self.currents[root].as_of)
        return max((one for one in instants if one is not None), default=None)

    def standings(self) -> dict[CustomerId, Standing | None]:
        return {customer: current.standing for customer, current in self.currents.items()}

    def put(self, original: CustomerId, state: CustomerState, as_of: datetime) -> None:
        """A new state of an original id."""
        before = self.states.get(original, Stored())
        first = original not in self.changed_states
        version = before.version + 1 if first else before.version
        self.states[original] = Stored(state, as_of, version)
        self.changed_states.add(original)
        if self._members:
            self._remember_others(self.root(original), original)

    def _remember_others(self, root: CustomerId, original: CustomerId) -> None:
        """So that a run of events under one of many ids does not sum all of them each time."""
        members, kept = self._members.get(root), self._others.get(root)
        if members is None or (kept is not None and kept[0] == original):
            return
        others = [
            self.states[one].state for one in members if one != original and one in self.states
        ]
        self._others[root] = (original, reduce(combine, others, EMPTY))

    def gather(self, root: CustomerId, order_ids: Iterable[str]) -> None:
        """What the ids of a customer know of these orders goes to the orders' holders."""
        knowing = [one for one in self.members(root) if one in self.orders]
        for name in order_ids:
            pieces = {one: self.orders[one][name] for one in knowing if name in self.orders[one]}
            if len(pieces) > 1:
                self._gather(name, pieces)

    def gather_all(self, root: CustomerId) -> None:
        """The same for every order that is known here."""
        self.gather(
            root, sorted({name for one in self.members(root) for name in self.orders.get(one, ())})
        )

    def _gather(self, name: str, pieces: Mapping[CustomerId, Order]) -> None:
        keeps, joined = holder(pieces), reduce(join, pieces.values())
        for one, piece in pieces.items():
            now = joined if one == keeps else UNKNOWN
            stored = self.states[one]
            assert stored.as_of is not None, "an id knows of an order and has no state"
            if now != piece:
                self.put(one, exchanged(stored.state, piece, now), stored.as_of)
            del self.orders[one][name]
        self.orders[keeps][name] = joined

    def link(self, original: CustomerId, parent: CustomerId) -> None:
        """From now on an id leads to `parent`; to itself, it stands alone."""
        self._point(original, parent)

    def hold(self, original: CustomerId, parent: CustomerId) -> None:
        """From now on an id belongs to `parent`, and stands apart from it none the less."""
        self._point(original, parent, held=True)

    def _point(self, original: CustomerId, parent: CustomerId, *, held: bool = False) -> None:
        self.held.pop(original, None)
        if held:
            self.held[original] = parent
        together = self.root(original)
        near = {original, *self.members(together)}
        self.links[original] = Link(parent, original if held else parent)
        self.changed_links.add(original)
        self._members.pop(together, None)
        self._others.pop(together, None)
        for one in near:
            root = self._follow(one)
            if one in self.links and self.links[one].root_id != root:
                self.links[one] = self.links[one]._replace(root_id=root)
                self.changed_links.add(one)
            self._members.setdefault(root, {root}).add(one)
            self._others.pop(root, None)

    def _follow(self, original: CustomerId) -> CustomerId:
        """Where the links end. A circle, possible while an unmerge is under way, has one root."""
        path = [original]
        while (link := self.links.get(path[-1])) is not None and link.parent_id != path[-1]:
            if path[-1] in self.held:
                break
            if link.parent_id in path:
                return min(path[path.index(link.parent_id) :])
            path.append(link.parent_id)
        return path[-1]


def original_of(event: Event) -> CustomerId:
    """The id under which an event's doings are kept."""
    return event.alias or event.subject


async def load(driver: Driver, events: Iterable[Event]) -> World:
    """Locks and loads everything that these events can touch: one query a table.

    Who merges must know besides which orders several of the ids know of.
    """
    events = list(events)
    linking = any(type(event) in LINKING for event in events)
    await (people.own_identities(driver) if linking else people.share_identities(driver))
    ids = _ids(events)
    links = await people.load_links(driver, ids, with_held=linking)
    every = ids | links.keys() | {link.root_id for link in links.values()}
    roots = {links[one].root_id if one in links else one for one in every}
    currents = await assessments.load_current(driver, roots | ids, locked=True)
    states = await people.load_states(driver, every)
    orders = await people.load_orders(driver, _order_ids(events), every)
    if linking:
        orders |= await people.load_shared_orders(driver, every)
    return World(links, states, currents, _by_customer(orders), known_orders=orders)


async def save(driver: Driver, world: World) -> None:
    """Writes what changed of states, orders and links: one statement a table."""
    await people.save_links(driver, {one: world.links[one] for one in world.changed_links})
    await people.save_states(driver, {one: world.states[one] for one in world.changed_states})
    now = {
        (customer, name): order
        for customer, orders in world.orders.items()
        for name, order in orders.items()
    }
    before = world.known_orders
    await people.drop_orders(driver, before.keys() - now.keys())
    await people.save_orders(
        driver, {key: order for key, order in now.items() if before.get(key) != order}
    )
    await assessments.drop(driver, world.dropped)


def _ids(events: Iterable[Event]) -> set[CustomerId]:
    ids: set[CustomerId] = set()
    for event in events:
        ids |= {event.subject, original_of(event)}
        if type(event) in LINKING and isinstance(event, CustomerMerged | CustomerUnmerged):
            ids.add(event.data.survivor_id)
    return ids


def _order_ids(events: Iterable[Event]) -> set[str]:
    return {order_named(event) for event in events if type(event) in ORDERS}


def order_named(event: Any) -> str:
    """The id of the order that an event of `ORDERS` is about."""
    name: str = event.data.order_id
    return name


def _by_customer(orders: Mapping[OrderKey, Order]) -> dict[CustomerId, dict[str, Order]]:
    found: dict[CustomerId, dict[str, Order]] = {}
    for (customer, name), order in orders.items():
        found.setdefault(customer, {})[name] = order
    return found
