"""Round trips on a fixed schedule: when each was due to leave, and when it was seen again.

The schedule does not wait for answers, so a stall shows as waiting time of all that were due in it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any, NamedTuple, cast

from aiokafka import AIOKafkaConsumer, ConsumerRecord

from bench.load import HOST, content_length

ARRIVE_SECONDS = 180.0
_PERCENTILES = 100
_MILLISECONDS = 1_000


class Item(NamedTuple):
    """What is sent; only that which is timed will be waited for."""

    name: str
    value: bytes
    is_timed: bool = True


@dataclass(slots=True)
class Trips:
    """Monotonic seconds by name; `left_at` is the wall clock's for stages seen by others."""

    due: dict[str, float] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)
    left_at: dict[str, float] = field(default_factory=dict)
    all_seen: asyncio.Event = field(default_factory=asyncio.Event)
    _complete: bool = False

    def leave(self, name: str, due: float) -> None:
        self.due[name] = due
        self.left_at[name] = time.time() - (time.monotonic() - due)

    def saw(self, name: str) -> None:
        """The first sight counts; what never left is somebody else's."""
        if name in self.due:
            self.seen.setdefault(name, time.monotonic())
            self._check()

    def complete(self) -> None:
        """Nothing more will leave."""
        self._complete = True
        self._check()

    def _check(self) -> None:
        if self._complete and len(self.seen) == len(self.due):
            self.all_seen.set()

    def percentile(self, number: int) -> float:
        """Milliseconds from due to seen."""
        taken = [self.seen[name] - at for name, at in self.due.items()]
        return quantiles(taken, n=_PERCENTILES)[number - 1] * _MILLISECONDS


async def travel(
    trips: Trips,
    items: Sequence[Item],
    rate: float,
    send: Callable[[str, bytes], Awaitable[None]],
) -> None:
    """Sends each item when it is due; returns when all that are timed have been seen."""
    sending: set[asyncio.Task[None]] = set()
    started = time.monotonic()
    for number, item in enumerate(items):
        due = started + number / rate
        wait = due - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        if item.is_timed:
            trips.leave(item.name, due)
        task = asyncio.ensure_future(send(item.name, item.value))
        sending.add(task)
        task.add_done_callback(sending.discard)
    await asyncio.gather(*sending)
    trips.complete()
    try:
        await asyncio.wait_for(trips.all_seen.wait(), ARRIVE_SECONDS)
    except TimeoutError:
        missing = len(trips.due) - len(trips.seen)
        raise TimeoutError(
            f"{missing} of {len(trips.due)} not seen after {ARRIVE_SECONDS:.0f} s"
        ) from None


@asynccontextmanager
async def seeing(
    kafka: str, topic: str, see: Callable[[ConsumerRecord], None]
) -> AsyncIterator[None]:
    """Calls `see` for every record of a topic from now on."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka, fetch_max_wait_ms=500)
    await consumer.start()
    await consumer.seek_to_end()

    async def follow() -> None:
        async for record in consumer:
            see(record)

    following = asyncio.create_task(follow())
    try:
        yield
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await consumer.stop()


class Connection(asyncio.Protocol):
    """A keep-alive connection with at most one request under way."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes] | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if separator and len(body) >= content_length(head):
            self._buffer = b""
            assert self._answer is not None
            self._answer.set_result(head)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("closed while an answer was due"))

    async def ask(self, request: bytes) -> bytes:
        """The head of the answer."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Pool:
    """Connections to one server; a request waits until one is free."""

    def __init__(self) -> None:
        self._free: asyncio.Queue[Connection] = asyncio.Queue()

    async def ask(self, request: bytes) -> bytes:
        """The head of the answer."""
        connection = await self._free.get()
        try:
            return await connection.ask(request)
        finally:
            self._free.put_nowait(connection)

    def put(self, connection: Connection) -> None:
        self._free.put_nowait(connection)


@asynccontextmanager
async def pool(port: int, connections: int) -> AsyncIterator[Pool]:
    """A pool of open connections."""
    loop = asyncio.get_running_loop()
    opened: list[Connection] = []
    found = Pool()
    for _ in range(connections):
        made: Any = await loop.create_connection(Connection, HOST, port)
        opened.append(made[1])
        found.put(made[1])
    try:
        yield found
    finally:
        for connection in opened:
            connection.close()
