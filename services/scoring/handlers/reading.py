"""Assessments on request: as of now, whatever was last published."""

from collections.abc import Collection, Sequence
from datetime import datetime

from services.scoring.domain.telling import assessments_of
from services.scoring.domain.timeline import Outcome, Visit, assess, instant
from services.scoring.handlers.means import Means
from services.scoring.handlers.reviews import people_of
from services.scoring.store import assessments, people
from services.scoring.store.people import Driver
from shared.events.scoring import Assessment
from shared.ids import CustomerId


async def root_of(driver: Driver, customer: CustomerId) -> CustomerId:
    """The customer that an id belongs to, itself when it was never linked."""
    links = await people.load_links(driver, [customer])
    return links[customer].root_id if customer in links else customer


async def assessed_now(
    driver: Driver, means: Means, customers: Sequence[CustomerId], now: datetime
) -> list[Assessment]:
    """The assessments of these customers as of `now`, in their order; unknown ones are left out.

    Reviews that have fallen due by then are made on the way, so that bands are those in which the
    sweep will find them. Nothing is written.
    """
    rules = await means.rules(driver)
    currents = await assessments.load_current(driver, customers, locked=False)
    world = await people_of(driver, currents)
    visits: list[Visit] = []
    for customer in customers:
        state = world.combined(customer)
        if state is not None and customer in currents:
            stood = world.as_of(customer) or now
            visits.append(Visit(customer, state, stood, "", stood, silent=True))
            visits.append(Visit(customer, state, instant(now, stood), "", now))
    outcomes = assess(visits, world.standings(), rules, lambda due: due)
    return assessments_of(_last(outcomes, customers), rules)


def _last(outcomes: Sequence[Outcome], customers: Collection[CustomerId]) -> list[Outcome]:
    """Each customer's final outcome, in the order of `customers`."""
    final = {one.visit.customer_id: one for one in outcomes}
    return [final[customer] for customer in customers if customer in final]
