"""One process of a service, from its start to its exit code, and its outermost bounds."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn

from shared.runtime.app import Process, _Server
from shared.runtime.heads import HEAD_BYTES_MAX, BoundedHeads
from tests.integration.runtime.counting import CountingSettings, build

API = frozenset({"api"})


def test_a_process_that_cannot_follow_the_time_ends_loudly(database_url: str) -> None:
    """Its schema was never made: it would answer as of 1970 for ever."""
    settings = CountingSettings(database_url=database_url, clock="event", kafka="127.0.0.1:1")
    assert Process(build(settings), API, 0, "1").run() == 1


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
