"""Silence is a signal: who is due is assessed again without any event."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from services.scoring.domain.features import CustomerState
from services.scoring.domain.telling import news
from services.scoring.domain.timeline import Rules, Visit, assess, instant, review_cause
from services.scoring.handlers.events import changes_of, current_of
from services.scoring.handlers.means import Means
from services.scoring.handlers.world import World
from services.scoring.store import assessments, models, people
from services.scoring.store.assessments import Current
from services.scoring.store.people import Driver
from shared.clock import EventClock
from shared.ids import CustomerId
from shared.runtime.db import Transaction
from shared.runtime.service import Context

# How a customer becomes a visit: (customer, state, where they stand, when last assessed).
ToVisit = Callable[[CustomerId, CustomerState, Current, datetime], Visit]


async def review_due(context: Context, now: datetime) -> bool:
    """Assesses a batch of customers whose review is due; replicas share them by row locks.

    On the event clock a review is judged as of its due instant, and waits until events that
    happened before it have surely been handled: while there is lag, and for the grace period. One
    review leads to the next, so a jump of that clock is followed at once.
    """
    settings = context.settings
    until = now
    if isinstance(context.clock, EventClock):
        async with context.read() as session:
            if not await context.resources.backlog.is_empty(session.driver):
                return False
        until = now - timedelta(hours=settings.review_grace_hours)
    async with context.transaction() as tx:
        await people.share_identities(tx.driver)
        due = await assessments.lock_due(tx.driver, until, settings.review_batch_customers)

        def visit(
            customer: CustomerId, state: CustomerState, current: Current, before: datetime
        ) -> Visit:
            scheduled = current.next_review_at
            assert scheduled is not None, "a customer was due without a date"
            at = tx.clock.at(scheduled)
            cause = review_cause(customer, scheduled)
            return Visit(customer, state, instant(at, before), cause, at)

        made = await _assess(tx, due, visit)
    return made > 0


async def rescore(context: Context, now: datetime) -> bool:
    """Assesses everybody anew by the model in force, a batch at a time, after it changed."""
    limit = int(context.settings.review_batch_customers)
    async with context.transaction() as tx:
        under_way = await models.rescoring(tx.driver)
        if under_way is None:
            return False
        number, after = under_way
        means: Means = tx.resources
        name = (await means.model(tx.driver)).name
        await people.share_identities(tx.driver)
        outdated = await assessments.lock_outdated(tx.driver, after, name, limit)

        def visit(
            customer: CustomerId, state: CustomerState, _current: Current, before: datetime
        ) -> Visit:
            cause = f"model:{name}:{customer}"
            return Visit(customer, state, instant(now, before), cause, now)

        await _assess(tx, outdated, visit)
        more = len(outdated) == limit
        await models.rescored(tx.driver, number, max(outdated) if more else None)
    return more


async def _assess(tx: Transaction, due: Mapping[CustomerId, Current], to_visit: ToVisit) -> int:
    """Assesses the customers of locked rows, saves and tells; how many outcomes there were."""
    if not due:
        return 0
    means: Means = tx.resources
    rules: Rules = await means.rules(tx.driver)
    world = await people_of(tx.driver, due)
    visits = []
    for customer, current in due.items():
        state = world.combined(customer)
        if state is not None:
            visits.append(
                to_visit(customer, state, current, world.as_of(customer) or current.as_of)
            )
    outcomes = assess(visits, world.standings(), rules, tx.clock.at)
    await assessments.save_current(
        tx.driver, {one.visit.customer_id: current_of(one, rules) for one in outcomes}
    )
    await assessments.record(tx.driver, changes_of(outcomes, rules))
    tx.publish_all(news(outcomes, rules))
    return len(outcomes)


async def people_of(driver: Driver, currents: Mapping[CustomerId, Current]) -> World:
    """The states of these customers under all their ids, without locks."""
    links = await people.load_links(driver, currents)
    states = await people.load_states(driver, currents.keys() | links.keys())
    return World(links, states, dict(currents), {})
