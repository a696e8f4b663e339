"""The promise from outside: an order becomes points, an assessment and a webhook, once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from shared.clock import monotonic_seconds, wall_now
from shared.testing.receiver import Receiver, receiving
from stack.demo.watching import Watch, settled
from stack.platform import Platform
from tests.e2e.conftest import bearer, eventually

VISIBLE_SECONDS = 2.0
PATIENCE_SECONDS = 30.0
# Longer than the webhooks' job sleeps between two looks at what is due.
STILL_SECONDS = 3.0


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=10, trust_env=False) as made:
        yield made


@pytest.fixture
async def receiver(platform: Platform, client: httpx.AsyncClient) -> AsyncIterator[Receiver]:
    """A subscriber to everything, who checks signatures."""
    async with receiving() as made:
        reply = await client.post(
            f"{platform.urls['webhooks']}/v1/endpoints",
            json={"url": made.url, "event_types": ["*"]},
            headers=bearer(platform, "admin"),
        )
        assert reply.status_code == 201, reply.text
        made.trust(reply.json()["secret"])
        yield made
        await client.delete(
            f"{platform.urls['webhooks']}/v1/endpoints/{reply.json()['id']}",
            headers=bearer(platform, "admin"),
        )


def order(customer: str, order_id: str, total: str = "120.50", **more: Any) -> dict[str, Any]:
    return {
        "type": "order.completed",
        "customer_id": customer,
        "occurred_at": wall_now().isoformat(),
        "data": {"order_id": order_id, "total": total, "currency": "GBP"},
        **more,
    }


async def post(client: httpx.AsyncClient, platform: Platform, *events: dict[str, Any]) -> None:
    reply = await client.post(
        f"{platform.urls['ingest']}/v1/events",
        json={"events": list(events)},
        headers=bearer(platform, "ingest"),
    )
    assert reply.status_code == 202, reply.text
    assert not reply.json()["rejected"]


def asking(
    client: httpx.AsyncClient, platform: Platform, service: str, path: str
) -> Callable[[], Any]:
    return lambda: client.get(f"{platform.urls[service]}{path}", headers=bearer(platform, "read"))


async def visible(
    client: httpx.AsyncClient, platform: Platform, receiver: Receiver, customer: str, points: int
) -> None:
    """Points, an assessment and a verified webhook of the points, all at once."""
    member = asking(client, platform, "loyalty", f"/v1/members/{customer}")
    assessment = asking(client, platform, "scoring", f"/v1/customers/{customer}/assessment")
    limit = PATIENCE_SECONDS

    async def delivered() -> None:
        async with asyncio.timeout(limit):
            while not any(
                one["type"] == "points.awarded" and one["customer_id"] == customer
                for one in receiver.events()
            ):
                await asyncio.sleep(0.02)

    await asyncio.gather(
        eventually(
            member,
            lambda r: r.status_code == 200 and r.json()["balance"]["active"] == points,
            limit,
        ),
        eventually(
            assessment,
            lambda r: r.status_code == 200 and r.json()["rfm"]["frequency"] >= 1,
            limit,
        ),
        delivered(),
    )


async def at_rest(
    platform: Platform, client: httpx.AsyncClient, delivered: Callable[[], int]
) -> bool:
    """Whether all processes came to have nothing left to do, and nothing more arrives."""
    plans = platform.supervisor.plans
    processes = {plan.name: plan.url for plan in plans}
    services = {plan.name: plan.service for plan in plans}
    watch = Watch(client, processes, services, platform.database_url)
    return await settled(
        watch, lambda _: None, delivered, seconds_max=PATIENCE_SECONDS, still_seconds=STILL_SECONDS
    )


async def test_one_order_is_visible_everywhere_within_two_seconds(
    platform: Platform, client: httpx.AsyncClient, receiver: Receiver
) -> None:
    await post(client, platform, order("c-warm", "o-warm"))
    await visible(client, platform, receiver, "c-warm", 120)
    started = monotonic_seconds()
    await post(client, platform, order("c-once", "o-once", total="99.99"))
    await visible(client, platform, receiver, "c-once", 99)
    took = monotonic_seconds() - started
    assert took < VISIBLE_SECONDS, f"{took:.2f} s"
    assert all(call.verified for call in receiver.calls)


async def test_an_order_sent_again_counts_once_whatever_its_id(
    platform: Platform, client: httpx.AsyncClient, receiver: Receiver
) -> None:
    one = order("c-again", "o-again", id="the-same-id")
    for _ in range(3):
        await post(client, platform, one)
    await post(client, platform, one | {"id": "another-id"})
    await post(client, platform, order("c-again", "o-other", total="10.00"))
    await visible(client, platform, receiver, "c-again", 130)
    # Its key gives one order per service: who has handled the last has handled all before it.
    member = asking(client, platform, "loyalty", "/v1/members/c-again")
    assert (await member()).json()["balance"]["active"] == 130
    reply = await eventually(
        asking(client, platform, "scoring", "/v1/customers/c-again/assessment"),
        lambda r: r.status_code == 200 and r.json()["rfm"]["frequency"] >= 2,
        PATIENCE_SECONDS,
    )
    assert reply.json()["rfm"]["frequency"] == 2
    assert reply.json()["clv"]["historic"] == "130.50"

    def orders() -> list[str]:
        return [
            event["id"]
            for event in receiver.events()
            if event["type"] == "order.completed" and event["customer_id"] == "c-again"
        ]

    # Webhooks have no order among themselves, and one too many may be the last of all: counted
    # when nothing is left to read, to carry or to deliver.
    assert await at_rest(platform, client, lambda: len(receiver.calls))
    assert len(orders()) == 2


async def test_what_is_wrong_in_a_batch_is_told_and_the_rest_is_taken(
    platform: Platform, client: httpx.AsyncClient, receiver: Receiver
) -> None:
    good, bad = order("c-part", "o-part"), order("c-part", "o-bad", total="-1")
    reply = await client.post(
        f"{platform.urls['ingest']}/v1/events",
        json={"events": [good, bad]},
        headers=bearer(platform, "ingest"),
    )
    assert reply.status_code == 202
    assert [one["index"] for one in reply.json()["accepted"]] == [0]
    (refused,) = reply.json()["rejected"]
    assert refused["index"] == 1
    assert "data.total" in refused["errors"][0]["path"]
    await visible(client, platform, receiver, "c-part", 120)


async def test_the_timeline_tells_the_chain_from_order_to_points(
    platform: Platform, client: httpx.AsyncClient, receiver: Receiver
) -> None:
    await post(client, platform, order("c-chain", "o-chain"))
    await visible(client, platform, receiver, "c-chain", 120)
    timeline = await eventually(
        asking(client, platform, "insights", "/v1/customers/c-chain/timeline"),
        lambda r: (
            r.status_code == 200
            and {"order.completed", "points.awarded", "assessment.updated"}
            <= {one["kind"] for one in r.json()["items"]}
        ),
        PATIENCE_SECONDS,
    )
    by_kind = {one["kind"]: one for one in timeline.json()["items"]}
    assert by_kind["points.awarded"]["cause"] == by_kind["order.completed"]["event_id"]


async def test_every_service_answers_its_operators(
    platform: Platform, client: httpx.AsyncClient
) -> None:
    for service, url in platform.urls.items():
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"):
            reply = await client.get(f"{url}{path}")
            assert reply.status_code == 200, f"{service}{path}: {reply.text[:200]}"
