"""An order: it ends journeys, calls off what they had planned, and is some message's success."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from services.campaigns import rules
from services.campaigns.domain import decision, journey
from services.campaigns.domain.attribution import Order, credited
from services.campaigns.domain.definition import Definition
from services.campaigns.domain.gate import not_needed
from services.campaigns.domain.intervention import Intervention, data_of
from services.campaigns.domain.journey import Enrolment, Ordered
from services.campaigns.domain.person import Person, original
from services.campaigns.handlers.changes import Changes, by_shop, converted
from services.campaigns.store import interventions, journeys, people
from shared.events.campaigns import InterventionSuppressed
from shared.events.commerce import OrderCompleted
from shared.runtime.db import Transaction

_NO_LEASE = timedelta()


async def take(tx: Transaction, events: Sequence[OrderCompleted]) -> None:
    """Orders in the sequence of the log; the same order told twice counts once."""
    fresh = await interventions.save_orders(tx.driver, [_order(one) for one in events])
    events = [one for one in events if (one.source, one.id) in fresh]
    if not events:
        return
    persons = await people.lock_known(tx.driver, (original(one) for one in events))
    ids = people.all_ids(persons.values())
    await _end_journeys(tx, events, persons, ids)
    await _credit(tx, events, persons, ids)


def _order(event: OrderCompleted) -> Order:
    data = event.data
    return Order(
        original(event),
        data.order_id,
        event.source,
        event.id,
        event.time,
        data.total,
        data.currency,
    )


async def _end_journeys(
    tx: Transaction,
    events: Sequence[OrderCompleted],
    persons: Mapping[str, Person],
    ids: Sequence[str],
) -> None:
    active = await journeys.active_of(tx.driver, ids)
    if not active:
        return
    versions = await journeys.versions(tx.driver, ((one.journey, one.version) for one in active))
    changes = Changes(tx)
    over: dict[str, tuple[OrderCompleted, Enrolment]] = {}
    for event in events:
        for enrolment in active:
            inside = enrolment.customer_id in persons[original(event)].ids
            if inside and enrolment.enrolment_id not in over:
                moved = _end(changes, versions, event, enrolment)
                if moved.state != "active":
                    over[enrolment.enrolment_id] = (event, moved)
    await _call_off(changes, over, ids)
    await changes.save()


def _end(
    changes: Changes,
    versions: Mapping[tuple[str, int], Definition],
    event: OrderCompleted,
    enrolment: Enrolment,
) -> Enrolment:
    at = changes.tx.at(event)
    version = versions[enrolment.journey, enrolment.version]
    moved = journey.advance(version, enrolment, Ordered(event.time), at, rules.judge)
    if moved.actions:
        changes.go(version, moved, by_shop(event), at)
    return moved.enrolment


async def _call_off(
    changes: Changes, over: Mapping[str, tuple[OrderCompleted, Enrolment]], ids: Sequence[str]
) -> None:
    """What was due only after the order. What was due before it has its own right to be sent."""
    if not over:
        return
    tx = changes.tx
    stopped: list[Intervention] = []
    for one in await interventions.pending_of(tx.driver, list(over), ids):
        event, enrolment = over[one.enrolment_id]
        at = tx.at(event)
        if one.due_at <= at and one.state != "awaiting":
            continue
        reason = not_needed(enrolment.reason)
        stopped.append(replace(one, state="suppressed", rule="left", reason=reason))
        changes.decisions.append(decision.about(one, "gate", "dropped", "left", reason, at))
        data = data_of(one, reason=reason, rule="left")
        changes.tell(InterventionSuppressed, by_shop(event), one.customer_id, at, data)
    await interventions.save(tx.driver, stopped, _NO_LEASE)


async def _credit(
    tx: Transaction,
    events: Sequence[OrderCompleted],
    persons: Mapping[str, Person],
    ids: Sequence[str],
) -> None:
    since: datetime = min(one.time for one in events)
    sent = {
        one.intervention_id: one for one in await interventions.touches_of(tx.driver, ids, since)
    }
    won: dict[str, Intervention] = {}
    orders: list[Order] = []
    for event in events:
        order = _order(event)
        own = [one for one in sent.values() if one.customer_id in persons[original(event)].ids]
        touched = credited(order, own)
        if touched is not None:
            done = converted(tx, touched, order)
            sent[done.intervention_id] = won[done.intervention_id] = done
            orders.append(order)
    await interventions.save(tx.driver, list(won.values()), _NO_LEASE)
    await interventions.credit(tx.driver, orders)
