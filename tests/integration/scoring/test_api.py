"""What the API answers: pages, filters, history, models, and problems."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from services.scoring.main import build
from services.scoring.store import assessments, models
from services.scoring.store.models import Fit
from shared.events.commerce import OrderCompleted
from shared.events.engagement import SessionStarted
from shared.events.scoring import Assessment, AssessmentUpdated, ThresholdCrossed
from shared.testing.builders import NOON, event
from shared.testing.harness import Running, running

EAGER = {"fit_purchases_min": 100}


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Running]:
    async with running(build, database_url) as started:
        yield started


async def get(service: Running, path: str, **query: Any) -> Any:
    reply = await service.client.get(path, params=query, headers=service.key("read"))
    assert reply.status_code == 200, reply.text
    return reply.json()


async def every(service: Running, path: str, **query: Any) -> list[Any]:
    """All items of a list, page by page."""
    items: list[Any] = []
    page: dict[str, Any] = {}
    while not items or page["next_cursor"]:
        cursor = {"cursor": page["next_cursor"]} if items else {}
        page = await get(service, path, **query, **cursor)
        items += page["items"]
        if not page["items"]:
            break
    return items


def orders(customer: str, total: str, *days_ago: int) -> list[OrderCompleted]:
    return [
        event(
            OrderCompleted,
            customer=customer,
            order_id=f"{customer}-{days}",
            total=total,
            at=NOON - timedelta(days=days),
        )
        for days in days_ago
    ]


async def test_lists_are_paged_filtered_and_sorted(service: Running) -> None:
    for number in range(7):
        await service.feed(*orders(f"c-{number}", f"{10 + number}.00", *range(10 * number + 1)))
    await service.feed(event(SessionStarted, customer="visitor"))

    by_id = await every(service, "/v1/customers", limit=3)
    assert [one["customer_id"] for one in by_id] == [*(f"c-{n}" for n in range(7)), "visitor"]
    assert [Assessment.model_validate(one) for one in by_id]

    values = [
        float(one["clv"]["predicted_12m"])
        for one in await every(service, "/v1/customers", sort="clv", limit=2)
    ]
    assert values == sorted(values, reverse=True)
    assert len(values) == 8
    risks = [
        one["churn"]["risk"]
        for one in await every(service, "/v1/customers", sort="churn_risk", limit=2)
    ]
    assert risks == sorted(risks, reverse=True)
    assert risks[-1] == 0, "who never bought comes last"

    prospects = await get(service, "/v1/customers", segment="Prospect")
    assert [one["customer_id"] for one in prospects["items"]] == ["visitor"]
    loyal = await get(service, "/v1/customers", lifecycle="loyal", band="low", clv_tier="high")
    assert {one["lifecycle"] for one in loyal["items"]} == {"loyal"}
    assert {one["clv"]["tier"] for one in loyal["items"]} == {"high"}
    sizes = {one["name"]: one["customers"] for one in await every(service, "/v1/segments")}
    assert sum(sizes.values()) == 8
    assert sizes["Prospect"] == 1


async def test_history_has_a_row_for_each_published_change(service: Running) -> None:
    for days in (60, 40, 20, 0):
        await service.feed(*orders("c-1", "20.00", days))
    told = service.published(AssessmentUpdated)
    items = await every(service, "/v1/customers/c-1/assessment/history", limit=2)
    assert len(items) == len(told) == 4
    assert [one["churn_risk"] for one in reversed(items)] == [one.data.churn.risk for one in told]
    assert [one["cause"] for one in reversed(items)] == [one.cause for one in told]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/customers/nobody/assessment", 404),
        ("/v1/customers/nobody/assessment/history", 404),
        ("/v1/customers?band=terrible", 422),
        ("/v1/customers?cursor=nonsense", 422),
        ("/v1/customers?sort=clv&cursor=WyJhIiwgImIiXQ", 422),
        ("/v1/customers?limit=0", 422),
        ("/v1/customers/c-1/assessment/history?cursor=WyJhIl0", 422),
        ("/v1/models/mbg-nbd-7", 404),
        ("/v1/models/other", 404),
        (f"/v1/models/mbg-nbd-{'9' * 30}", 404),
    ],
)
async def test_errors_are_problems(service: Running, path: str, status: int) -> None:
    reply = await service.client.get(path, headers=service.key("read"))
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"


async def test_every_route_needs_its_scope(service: Running) -> None:
    assert (await service.client.get("/v1/customers")).status_code == 401
    reply = await service.client.post("/v1/models/train", headers=service.key("read"))
    assert reply.status_code == 403


async def test_thresholds_are_listed_with_their_gap(service: Running) -> None:
    found = {one["name"]: one for one in await every(service, "/v1/thresholds")}
    assert found["churn_risk.high"]["enter"] > found["churn_risk.high"]["exit"]
    assert found["churn_risk.critical"]["announced"] is True


def shop(buyers: int) -> list[OrderCompleted]:
    """Buyers of whom every third comes back every ten days until 20 days ago."""
    events = []
    for buyer in range(buyers):
        days = [200 - buyer % 50]
        while buyer % 3 == 0 and days[-1] > 30:
            days.append(days[-1] - 10)
        events += orders(f"c-{buyer:03}", f"{20 + buyer % 7}.00", *days)
    return events


async def test_a_fit_is_requested_made_activated_and_everybody_assessed_anew(
    database_url: str,
) -> None:
    async with running(build, database_url) as service:
        await service.feed(*shop(90))
        before = await get(service, "/v1/customers/c-000/assessment")
        reply = await service.client.post("/v1/models/train", headers=service.key("admin"))
        assert reply.status_code == 202
        assert reply.json()["status"] == "requested"
        name = reply.json()["id"]
        await service.run_job("refit")
        await service.run_job("rescore")
        model = await get(service, f"/v1/models/{name}")
        listed = await get(service, "/v1/models")
        after = await get(service, "/v1/customers/c-000/assessment")
        async with service.context.read() as session:
            by = await session.driver.fetch("SELECT DISTINCT model FROM assessments")
        told = service.published(AssessmentUpdated)

    assert before["model"] == "prior"
    assert model["status"] == "ready"
    assert model["active"] is True
    assert model["metrics"]["buyers"] == 90
    assert model["parameters"]["currency"] == "GBP"
    assert [one["id"] for one in listed["items"]] == [name, "prior"]
    assert after["model"] == name
    assert after["churn"]["risk"] != before["churn"]["risk"]
    assert [row["model"] for row in by] == [name]
    assert any((one.cause or "").startswith(f"model:{name}:") for one in told)


async def test_a_fit_is_due_when_there_is_enough_and_again_when_it_has_grown(
    database_url: str,
) -> None:
    async with running(build, database_url, settings=EAGER) as service:
        await service.feed(*shop(20))
        await service.run_job("refit")
        too_few = (await get(service, "/v1/models"))["items"]
        await service.feed(*shop(90))
        await service.run_job("refit")
        await service.run_job("refit")
        fitted = (await get(service, "/v1/models"))["items"]

    assert [one["id"] for one in too_few] == ["mbg-nbd-1", "prior"]
    assert too_few[0]["status"] == "refused"
    assert "50" in too_few[0]["reason"]
    assert [one["status"] for one in fitted] == ["ready", "refused", "ready"]


async def test_an_older_model_can_be_put_in_force_again(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(*shop(90))
        for _ in range(2):
            await service.client.post("/v1/models/train", headers=service.key("admin"))
            await service.run_job("refit")
        reply = await service.client.post(
            "/v1/models/mbg-nbd-1/activate", headers=service.key("admin")
        )
        found = await get(service, "/v1/customers/c-000/assessment")

    assert reply.status_code == 200
    assert reply.json()["active"] is True
    assert found["model"] == "mbg-nbd-1"


async def test_of_two_activations_at_once_the_later_holds(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(*shop(90))
        for _ in range(2):
            await service.client.post("/v1/models/train", headers=service.key("admin"))
            await service.run_job("refit")
        paths = ["/v1/models/mbg-nbd-1/activate", "/v1/models/mbg-nbd-2/activate"] * 4
        replies = await asyncio.gather(
            *(service.client.post(path, headers=service.key("admin")) for path in paths)
        )
        listed = (await get(service, "/v1/models"))["items"]

    assert [one.status_code for one in replies] == [200] * 8
    assert sum(one["active"] for one in listed) == 1


async def test_after_a_fit_that_failed_nothing_is_due_until_there_is_more(
    database_url: str,
) -> None:
    async with running(build, database_url, settings=EAGER) as service:
        await service.feed(*shop(90))
        async with service.context.transaction() as tx:
            number = await models.request(tx.driver, NOON)
            count = await models.purchases_until(tx.driver, NOON)
            failed = Fit("failed", NOON, None, count, None, None, "the fit left the numbers")
            await models.finish(tx.driver, number, failed)
        await service.run_job("refit")
        listed = (await get(service, "/v1/models"))["items"]

    assert [one["status"] for one in listed] == ["failed", "ready"]
    assert listed[0]["reason"] == "the fit left the numbers"


async def test_with_fitting_off_nothing_is_fitted(database_url: str) -> None:
    async with running(build, database_url, settings={"fit": False} | EAGER) as service:
        await service.feed(*shop(90))
        reply = await service.client.post("/v1/models/train", headers=service.key("admin"))
        await service.run_job("refit")
        listed = (await get(service, "/v1/models"))["items"]

    assert reply.status_code == 409
    assert [one["id"] for one in listed] == ["prior"]


async def test_two_replicas_share_the_sweep_and_tell_each_crossing_once(
    database_url: str,
) -> None:
    settings = {"fit": False, "review_batch_customers": 5}
    async with running(build, database_url, settings=settings) as one:
        await one.feed(*(orders(f"c-{n}", "20.00", 0)[0] for n in range(12)))
        async with running(
            build,
            database_url,
            settings=settings,
            log=one.log,
            replica="1",
            clock=one.clock,
            consume=False,
        ) as two:
            one.clock.advance(timedelta(days=120))
            # One replica has some customers in hand and does not let go before the other is done.
            async with one.context.transaction() as held:
                mine = await assessments.lock_due(held.driver, NOON + timedelta(days=120), 5)
                async with asyncio.timeout(10):
                    await two.run_job("review_due")
            await asyncio.gather(one.run_job("review_due"), two.run_job("review_due"))
        crossed = one.published(ThresholdCrossed)

    assert len(mine) == 5
    assert sorted(one.subject for one in crossed) == sorted(f"c-{n}" for n in range(12))
