"""The client: a fixed number of requests over keep-alive connections, as fast as they are answered.

A process of its own, so that its work can be left out of the count. It prepares everything, says
`ready`, waits for a line, sends, and answers with one line of JSON.
"""

import argparse
import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import cast

import uvloop

from bench import shop

HOST = "127.0.0.1"
PATH = "/v1/events"
ACCEPTED = b"202"


@dataclass(slots=True)
class Outcome:
    """`seconds` is from the first request to the last answer."""

    accepted: int = 0
    refused: int = 0
    seconds: float = 0.0


def requests_of(
    *, seed: str, requests: int, batch: int, customers: int, authorization: str
) -> list[bytes]:
    """Complete requests with unique events, one or `batch` in each."""
    count = requests * batch
    bodies = [
        shop.intake_body(one)
        for one in shop.happenings(
            seed=seed, count=count, customers=customers, until=shop.wall_now()
        )
    ]
    if batch > 1:
        starts = range(0, count, batch)
        bodies = [b'{"events":[%b]}' % b",".join(bodies[at : at + batch]) for at in starts]
    return [request_of(body, authorization) for body in bodies]


def request_of(body: bytes, authorization: str) -> bytes:
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
        f"Authorization: {authorization}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Client(asyncio.Protocol):
    """One connection: sends a request, waits for its answer, sends the next."""

    def __init__(self, requests: list[bytes], outcome: Outcome, done: asyncio.Future[None]) -> None:
        self._requests = requests
        self._outcome = outcome
        self._done = done
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class is none

    def start(self) -> None:
        """Sends the next request, or reports that none is left."""
        if self._done.done():
            return
        if not self._requests:
            self._done.set_result(None)
            return
        assert self._transport is not None
        self._transport.write(self._requests.pop())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator or len(body) < content_length(head):
            return
        self._buffer = b""
        if head[9:12] == ACCEPTED:
            self._outcome.accepted += 1
        else:
            self._outcome.refused += 1
        self.start()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or ConnectionError("the server closed the connection"))


def content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError("an answer without a length")


async def send(port: int, requests: list[bytes], connections: int) -> Outcome:
    """Sends all requests, at most one at a time on each connection."""
    loop = asyncio.get_running_loop()
    outcome = Outcome()
    clients: list[Client] = []
    waiting: list[asyncio.Future[None]] = []
    for _ in range(connections):
        done: asyncio.Future[None] = loop.create_future()
        client = Client(requests, outcome, done)
        await loop.create_connection(lambda client=client: client, HOST, port)  # type: ignore[misc]
        clients.append(client)
        waiting.append(done)
    started = time.perf_counter()
    for client in clients:
        client.start()
    await asyncio.gather(*waiting)
    outcome.seconds = time.perf_counter() - started
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--authorization", default="Bearer none")
    told = parser.parse_args()
    requests = requests_of(
        seed=told.seed,
        requests=told.requests,
        batch=told.batch,
        customers=told.customers,
        authorization=told.authorization,
    )
    _say("ready")
    sys.stdin.readline()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcome = runner.run(send(told.port, requests, told.connections))
    _say(json.dumps(asdict(outcome)))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
