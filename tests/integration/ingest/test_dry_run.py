"""`POST /v1/events?dry_run=true`: the verdicts of the door, and nothing else."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from services.ingest.main import build
from shared.events.topics import RECEIVED
from shared.runtime.service import Service
from shared.testing.harness import Running, running
from tests.integration.ingest.posting import order, visit

BATCH = {"events": [order(id="e-1"), order(id="e-2", customer_id="null"), visit(id="e-3")]}


def plainly(settings: Any = None) -> Service:
    """Without the door before the router."""
    return replace(build(settings), wrap=None)


@pytest.fixture(params=[build, plainly], ids=["door", "route"])
async def service(request: Any, database_url: str) -> AsyncIterator[Running]:
    async with running(request.param, database_url) as started:
        yield started


async def post(service: Running, body: Any, query: str) -> Any:
    headers = {"Content-Type": "application/json"} | service.key("ingest")
    return await service.client.post(
        f"/v1/events{query}", content=json.dumps(body), headers=headers
    )


async def rejections(service: Running) -> Any:
    await service.settle()
    return (await service.client.get("/v1/rejections", headers=service.key("read"))).json()["items"]


@pytest.mark.parametrize("query", ["?dry_run=true", "?dry_run=1", "?dry_run=True&x=y"])
async def test_a_dry_run_answers_as_the_post_would_and_leaves_nothing(
    service: Running, query: str
) -> None:
    dry = await post(service, BATCH, query)

    assert not service.log.records(RECEIVED.name)
    assert await rejections(service) == []
    real = await post(service, BATCH, "")
    assert (dry.status_code, real.status_code) == (200, 202)
    assert dry.json() == real.json()
    assert len(await rejections(service)) == 1


async def test_a_dry_run_without_an_acceptable_event_is_the_same_problem(service: Running) -> None:
    body = visit(customer_id="null")

    dry, real = await post(service, body, "?dry_run=true"), await post(service, body, "")

    assert dry.status_code == real.status_code == 422
    assert dry.json() == real.json()


async def test_a_dry_run_needs_no_broker(service: Running) -> None:
    service.log.available = False

    assert (await post(service, BATCH, "?dry_run=true")).status_code == 200


@pytest.mark.parametrize("query", ["", "?", "?x=y", "?dry_run=false", "?dry_run=0"])
async def test_other_queries_publish(service: Running, query: str) -> None:
    assert (await post(service, visit(), query)).status_code == 202
    assert len(service.log.records(RECEIVED.name)) == 1


@pytest.mark.parametrize(
    "query", ["?dry_run=", "?dry_run", "?dry_run=maybe", "?dry_run=1&dry_run=0"]
)
async def test_an_unclear_wish_publishes_nothing(service: Running, query: str) -> None:
    assert (await post(service, visit(), query)).status_code == 422
    assert not service.log.records(RECEIVED.name)
