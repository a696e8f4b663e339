"""One person under several ids: their orders, their bands, and what is told about them."""

from datetime import timedelta
from typing import Any

import pytest

from services.scoring.main import build
from shared.clock import EventClock
from shared.events.commerce import OrderCancelled, OrderCompleted, OrderRefunded
from shared.events.engagement import CustomerMerged, CustomerUnmerged, SessionStarted
from shared.events.envelope import Event
from shared.events.scoring import ThresholdCrossed
from shared.testing.builders import NOON, event
from shared.testing.harness import Running, running
from tests.integration.scoring.test_scoring import PINNED, assessment

LINK = event(CustomerMerged, customer="g", survivor_id="c")
PLACED = event(OrderCompleted, customer="g", order_id="o-1", total="100.00")


def refund(name: str) -> Event:
    return event(OrderRefunded, customer="c", order_id="o-1", refund_id=name, amount="80.00")


async def purchases(service: Running) -> list[tuple[Any, ...]]:
    async with service.context.read() as session:
        rows = await session.driver.fetch(
            "SELECT customer_id, placed_at IS NOT NULL, refunded_minor, cancelled FROM purchases"
        )
    return [tuple(row) for row in rows]


@pytest.mark.parametrize(
    "told",
    [
        [PLACED, LINK, refund("r-1"), refund("r-2")],
        [PLACED, refund("r-1"), LINK, refund("r-2")],
        [refund("r-1"), refund("r-2"), LINK, PLACED],
        [LINK, refund("r-1"), PLACED, refund("r-2")],
    ],
)
async def test_refunds_fold_into_the_order_whichever_id_of_the_person_they_name(
    told: list[Event], make_database: Any
) -> None:
    for together in (False, True):
        async with running(build, make_database(), settings=PINNED) as service:
            if together:
                await service.feed(*told)
            else:
                for one in told:
                    await service.feed(one)
            found = await assessment(service, "c")
            kept = await purchases(service)
            assert service.dead() == []
        assert str(found.clv.historic) == "0.00"
        assert kept == [("g", True, 10_000, False)]


async def test_a_cancellation_under_the_customers_id_takes_the_guests_order_with_it(
    database_url: str,
) -> None:
    async with running(build, database_url, settings=PINNED) as service:
        await service.feed(PLACED, LINK)
        await service.feed(event(OrderCancelled, customer="c", order_id="o-1"))
        merged = await assessment(service, "c")
        await service.feed(event(CustomerUnmerged, customer="g", survivor_id="c"))
        guest = await assessment(service, "g")
        kept = await purchases(service)

    assert merged.clv.historic == guest.clv.historic == 0
    assert merged.lifecycle == guest.lifecycle == "prospect"
    assert kept == [("g", True, 0, True)]


async def test_what_was_announced_of_an_absorbed_id_is_not_announced_again(
    database_url: str,
) -> None:
    long_ago = NOON - timedelta(days=400)
    async with running(build, database_url, settings=PINNED) as service:
        await service.feed(
            event(SessionStarted, customer="c"),
            event(OrderCompleted, customer="g", order_id="o-1", at=long_ago),
        )
        before = service.published(ThresholdCrossed)
        await service.feed(LINK)
        merged = await assessment(service, "c")
        await service.feed(event(OrderCompleted, customer="c", order_id="o-2"))
        crossed = service.published(ThresholdCrossed)[len(before) :]

    assert [one.data.direction for one in before] == ["up", "up"]
    assert merged.churn.band == "critical"
    assert [(one.subject, one.data.threshold, one.data.direction) for one in crossed] == [
        ("c", "churn_risk.critical", "down"),
    ]


async def test_reviews_of_an_absorbed_id_that_fell_due_are_made_before_it_goes(
    database_url: str,
) -> None:
    late = NOON + timedelta(days=300)
    async with running(build, database_url, clock=EventClock(), settings=PINNED) as service:
        await service.feed(PLACED, event(OrderCompleted, customer="c", order_id="o-2", at=late))
        await service.feed(event(CustomerMerged, customer="g", survivor_id="c", at=late))
        crossed = service.published(ThresholdCrossed)

    assert [(one.subject, one.data.threshold, one.data.direction) for one in crossed] == [
        ("g", "churn_risk.high", "up"),
        ("g", "churn_risk.critical", "up"),
        ("c", "churn_risk.critical", "down"),
    ]


async def test_an_id_that_is_one_too_many_is_let_in_as_soon_as_another_leaves(
    database_url: str,
) -> None:
    settings = PINNED | {"customer_ids_max": 3}
    others = ("k", "l", "m")
    async with running(build, database_url, settings=settings) as service:
        for one in ("c", *others):
            await service.feed(event(SessionStarted, customer=one))
        for one in others:
            await service.feed(event(CustomerMerged, customer=one, survivor_id="c"))
        apart = (await assessment(service, "m")).customer_id
        await service.feed(event(CustomerUnmerged, customer="k", survivor_id="c"))
        together = (await assessment(service, "m")).customer_id
        parted = (await assessment(service, "k")).customer_id

    assert (apart, together, parted) == ("m", "c", "k")


async def test_another_root_takes_the_place_of_the_one_before_and_nobody_is_announced_anew(
    database_url: str,
) -> None:
    long_ago = NOON - timedelta(days=400)
    swap = (
        event(CustomerUnmerged, customer="g", survivor_id="c", together=True),
        event(CustomerMerged, customer="c", survivor_id="g"),
    )
    async with running(build, database_url, settings=PINNED) as service:
        await service.feed(
            event(OrderCompleted, customer="c", order_id="o-1", at=long_ago),
            event(SessionStarted, customer="g"),
            LINK,
        )
        before = service.published(ThresholdCrossed)
        for one in reversed(swap):
            await service.feed(one)
        found = await assessment(service, "c")
        async with service.context.read() as session:
            left = await session.driver.fetch("SELECT customer_id FROM assessments")
        crossed = service.published(ThresholdCrossed)

    assert before
    assert crossed == before
    assert found.customer_id == "g"
    assert [row[0] for row in left] == ["g"]
