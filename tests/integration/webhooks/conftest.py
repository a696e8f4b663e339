"""Webhooks under test: the service on a database of its own, and a receiver it may call."""

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import pytest

from services.webhooks.main import build
from shared.clock import ManualClock
from shared.testing.builders import NOON
from shared.testing.harness import Running, running
from shared.testing.receiver import Receiver, receiving

KEY = base64.b64encode(bytes(32)).decode()
LOOPBACK = "127.0.0.0/8"
Open = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def open_service(database_url: str) -> Open:
    """Starts webhooks: `open_service(lookup=…, replica=…, a_setting=…)`, loopback allowed."""

    def opened(
        *,
        url: str = database_url,
        lookup: Any = None,
        clock: Any = None,
        log: Any = None,
        replica: str = "0",
        **settings: Any,
    ) -> AbstractAsyncContextManager[Running]:
        made = build if lookup is None else partial(build, lookup=lookup)
        given = {"secret_key": KEY, "allowed_networks": LOOPBACK, **settings}
        return running(
            made,
            url,
            clock=clock or ManualClock(NOON),
            settings=given,
            log=log,
            replica=replica,
        )

    return opened


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver whose clock stands at noon, as the service's does at first."""
    async with receiving(now_seconds=NOON.timestamp) as one:
        yield one


async def register(
    service: Running, receiver: Receiver, *event_types: str, **more: Any
) -> dict[str, Any]:
    """An endpoint at the receiver, which learns its secret."""
    body = {"url": receiver.url, "event_types": list(event_types) or ["*"], **more}
    reply = await service.client.post("/v1/endpoints", json=body, headers=service.key("admin"))
    assert reply.status_code == 201, reply.text
    endpoint: dict[str, Any] = reply.json()
    receiver.trust(endpoint["secret"])
    return endpoint


async def get(service: Running, path: str) -> Any:
    """What a reader sees."""
    reply = await service.client.get(path, headers=service.key("read"))
    assert reply.status_code == 200, reply.text
    return reply.json()


async def post(service: Running, path: str, scope: Any = "admin", **body: Any) -> Any:
    """What a request with a body answers; it must succeed."""
    reply = await service.client.post(path, json=body, headers=service.key(scope))
    assert reply.is_success, reply.text
    return reply.json()


async def deliveries_of(service: Running, endpoint: dict[str, Any], **query: str) -> list[Any]:
    """An endpoint's deliveries, oldest first."""
    wanted = "".join(f"&{name}={value}" for name, value in query.items())
    page = await get(service, f"/v1/endpoints/{endpoint['id']}/deliveries?limit=500{wanted}")
    return list(reversed(page["items"]))


async def log_of(service: Running, delivery: dict[str, Any]) -> list[Any]:
    """The calls of a delivery."""
    detail = await get(service, f"/v1/deliveries/{delivery['id']}")
    attempts: list[Any] = detail["log"]
    return attempts
