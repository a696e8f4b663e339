"""One process of a service, from its start to its exit code, and its outermost bounds."""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn

from shared.clock import monotonic_seconds
from shared.events.commerce import OrderCompleted
from shared.runtime.app import Process, _Server
from shared.runtime.assembly import RelayHandle, make_worker
from shared.runtime.heads import HEAD_BYTES_MAX, BoundedHeads
from shared.testing.builders import event
from shared.testing.harness import running
from stack.ports import free_base
from tests.fixtures.proxy import Proxy
from tests.integration.runtime.counting import CountingSettings, build

API = frozenset({"api"})


def test_a_process_that_cannot_follow_the_time_ends_loudly(database_url: str) -> None:
    """Its schema was never made: it would answer as of 1970 for ever."""
    settings = CountingSettings(database_url=database_url, clock="event", kafka="127.0.0.1:1")
    assert Process(build(settings), API, 0, "1").run() == 1


async def ask(port: int, path: str) -> httpx.Response | None:
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            return await client.get(path)
    except httpx.TransportError:
        return None


def test_a_process_says_that_it_leaves_before_it_does_and_is_soon_gone() -> None:
    """Even without the broker and the database that it would say goodbye to."""
    port, seen = free_base(), []

    async def witness() -> None:
        while await ask(port, "/healthz") is None:
            await asyncio.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)
        while (reply := await ask(port, "/readyz")) is not None:
            seen.append(reply.json()["reason"])

    settings = CountingSettings(database_url="postgresql://t@127.0.0.1:1/t", kafka="127.0.0.1:1")
    thread = threading.Thread(target=lambda: asyncio.run(witness()))
    thread.start()
    process = Process(build(settings), frozenset({"api", "consumer", "jobs"}), port, "1")
    began = monotonic_seconds()
    assert process.run() == 0
    thread.join()
    assert "draining" in seen
    assert monotonic_seconds() - began < 10


async def test_a_consumer_without_its_database_leaves_quietly(database_url: str) -> None:
    settings = {"pool_connections": 2, "read_pool_connections": 2}
    async with Proxy.before(database_url) as proxy:
        url = proxy.url(database_url)
        async with running(build, url, settings=settings) as service:
            await service.feed(event(OrderCompleted))
            proxy._server.close()
            proxy.cut()
            await service.put(event(OrderCompleted))
            async with asyncio.timeout(20):
                while "database" not in service.health.waiting_for:
                    await asyncio.sleep(0.02)


async def test_what_requests_publish_while_the_consumer_has_left_still_leaves(
    database_url: str,
) -> None:
    async with running(build, database_url, consume=False) as service:
        handle = RelayHandle()
        worker = make_worker(
            service.service, service.context, handle, replica="1", roles=frozenset({"consumer"})
        )
        stopping, served = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(worker.run(stopping, served))
        async with asyncio.timeout(20):
            while not handle.leading():
                await asyncio.sleep(0.02)
        stopping.set()
        async with asyncio.timeout(20):
            while service.log._groups.get("loyalty") != []:
                await asyncio.sleep(0.02)
        await asyncio.wait({task}, timeout=0.5)
        assert not task.done(), "requests are still served"
        async with service.context.transaction() as tx:
            tx.publish(event(OrderCompleted))
        served.set()
        await task
        assert len(service.published(OrderCompleted)) == 1


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the number of bytes of the body."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    config = uvicorn.Config(
        echo, port=0, http=BoundedHeads, loop="none", lifespan="off", log_config=None
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await task


async def test_a_head_without_an_end_is_refused(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nX: " + b"a" * 2 * HEAD_BYTES_MAX)
    async with asyncio.timeout(5):
        assert b" 400 " in await reader.readline()
    writer.close()


async def test_bodies_and_requests_that_share_a_connection_are_not_bounded_by_it(port: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        for _ in range(3):
            reply = await client.post("/", content=b"x" * 300_000)
            assert reply.text == "300000"
            assert (await client.get("/", headers={"X": "y" * 8_000})).text == "0"
