"""The real Python clients of Segment and RudderStack, against the service over HTTP.

Each is installed, with its hashes, into an environment of its own, and pointed at us by its host.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from services.ingest.main import build
from shared.clock import SystemClock
from shared.events.commerce import OrderCompleted
from shared.events.engagement import CustomerMerged, CustomerUpdated, CustomEvent, PageViewed
from shared.runtime.service import Context
from shared.runtime.web import make_app
from shared.testing.harness import Running, running
from stack.ports import free_base
from tests.integration.ingest.calling import key_of

FIXTURES = Path(__file__).parents[2] / "fixtures/segment"
# Requirements of an environment, and the module of the client in it.
CLIENTS = {
    "segment-2.3.4": "segment.analytics",
    "segment-2.4.0": "segment.analytics",
    "analytics-1.4": "analytics",
    "rudder-2.1.9": "rudderstack.analytics",
}
DRIVE_SECONDS_MAX = 60.0
START_SECONDS_MAX = 20.0


@pytest.fixture(scope="module", params=CLIENTS)
def client(request: pytest.FixtureRequest, tmp_path_factory: Any) -> tuple[str, str]:
    """The Python of a client's environment, and the client's module."""
    folder = tmp_path_factory.mktemp(request.param)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = str(folder / "bin/python")
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--only-binary", ":all:", "--require-hashes", "-r", FIXTURES / f"{request.param}.txt"],
        check=True,
    )  # fmt: skip
    return python, CLIENTS[request.param]


class Served:
    """The service behind a port, with every request counted."""

    def __init__(self, running_service: Running, app: Any) -> None:
        self.service = running_service
        self.url = ""
        self.statuses: list[int] = []
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def counted(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.statuses.append(message["status"])
                # A broker that was away is back for the next request.
                self.service.log.available = True
            await send(message)

        await self._app(scope, receive, counted)


@asynccontextmanager
async def served(service: Running) -> AsyncIterator[Served]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Context]:
        yield service.context

    edge = make_app(service.service, opened, service.health, "test")
    edge.app.state.context = service.context
    counted = Served(service, edge)
    port = free_base()
    server = uvicorn.Server(uvicorn.Config(counted, port=port, lifespan="off", log_level="error"))
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(START_SECONDS_MAX):
        while not server.started:
            await asyncio.sleep(0.01)
    counted.url = f"http://127.0.0.1:{port}"
    try:
        yield counted
    finally:
        server.should_exit = True
        await task


@pytest.fixture
async def door(database_url: str) -> AsyncIterator[Served]:
    settings = {"segment_retry_after_seconds": 1}
    async with (
        # Clients write the time of the wall on every call.
        running(build, database_url, clock=SystemClock(), settings=settings) as service,
        served(service) as counted,
    ):
        yield counted


async def drive(client: tuple[str, str], url: str, key: str) -> list[str]:
    """Lets the client make its calls; what it told as errors."""
    python, module = client
    process = await asyncio.create_subprocess_exec(
        python, FIXTURES / "drive.py", module, url, key, stdout=subprocess.PIPE
    )
    async with asyncio.timeout(DRIVE_SECONDS_MAX):
        out, _ = await process.communicate()
    assert process.returncode == 0
    errors: list[str] = json.loads(out.splitlines()[-1])
    return errors


def check_arrived_once(service: Running) -> None:
    """All of what `drive.py` calls, and nothing else."""
    (order,) = service.published(OrderCompleted)
    assert (str(order.data.total), order.data.items[0].sku) == ("25.98", "MUG-1")
    (lit,) = service.published(CustomEvent)
    assert (lit.type, lit.data.properties) == ("custom.lamp_lit", {"watts": 40})
    seen = service.published(PageViewed)
    assert sorted(one.data.url or "" for one in seen) == ["Main", "https://shop.example/"]
    updated = service.published(CustomerUpdated)
    assert len(updated) == 3
    assert [one.data.email for one in updated if one.data.email] == ["ada@example.org"]
    assert [one.data.custom for one in updated if one.data.email] == [{"plan": "pro"}]
    assert [one.data.company for one in updated if one.data.company] == ["Engines"]
    assert [one.subject for one in service.published(CustomerMerged)] == ["device-1"]
    assert not service.dead()


async def test_every_call_arrives_once(client: tuple[str, str], door: Served) -> None:
    errors = await drive(client, door.url, key_of(door.service))

    await door.service.settle()
    assert errors == []
    assert set(door.statuses) == {200}
    check_arrived_once(door.service)


async def test_a_wrong_key_is_told_and_nothing_is_sent_again(
    client: tuple[str, str], door: Served
) -> None:
    errors = await drive(client, door.url, f"tn_ingest_{'x' * 43}")

    assert errors
    assert all("unauthorized" in error and "write key" in error for error in errors)
    assert door.statuses == [401] * len(errors)


async def test_what_an_absent_broker_refused_is_sent_again_and_counts_once(
    client: tuple[str, str], door: Served
) -> None:
    door.service.log.available = False

    errors = await drive(client, door.url, key_of(door.service))

    await door.service.settle()
    assert errors == []
    assert door.statuses[0] == 503
    assert set(door.statuses[1:]) == {200}
    check_arrived_once(door.service)
