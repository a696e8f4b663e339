"""Runs one service in a test: the real runtime and PostgreSQL, the log in memory.

async with running(build, database_url, clock=ManualClock(NOON)) as service:
    await service.feed(event(OrderCompleted, total="12.99"))
    assert service.published(PointsAwarded)
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import httpx

from shared.clock import Clock, ManualClock, wall_now
from shared.events.envelope import Event
from shared.events.keys import KeyChanged, KeyChangedData, Scope
from shared.events.registry import parse
from shared.events.topics import TOPIC_OF, Topic
from shared.ids import CustomerId, EventId
from shared.runtime.assembly import RelayHandle, Worker, make_worker, open_context
from shared.runtime.auth import KeyRing, format_key, secret_hash
from shared.runtime.failpoints import FailPoints
from shared.runtime.health import Health
from shared.runtime.log import Outgoing
from shared.runtime.outbox import TYPE_HEADER
from shared.runtime.service import Context, Service
from shared.runtime.web import make_app
from shared.testing.builders import NOON
from shared.testing.databases import prepare
from shared.testing.memory_log import MemoryLog

E = TypeVar("E", bound=Event)
_SETTLE_SECONDS = 20.0


@dataclass(slots=True)
class Running:
    """A service under test."""

    service: Service
    context: Context
    log: MemoryLog
    worker: Worker | None
    client: httpx.AsyncClient
    failpoints: FailPoints
    health: Health
    _keys: dict[Scope, str] = field(default_factory=dict)

    @property
    def clock(self) -> Any:
        """The clock that the test gave, to set or advance."""
        return self.context.clock

    async def feed(self, *events: Event, topic: Topic | None = None) -> None:
        """Puts events on their topic (or another), then settles."""
        await self.put(*events, topic=topic)
        await self.settle()

    async def put(self, *events: Event, topic: Topic | None = None) -> None:
        """Puts events on their topic without waiting."""
        await self.log.append(
            [
                Outgoing(
                    (topic or TOPIC_OF[type(one)]).name,
                    one.subject.encode(),
                    one.to_json(),
                    ((TYPE_HEADER, one.type.encode()),),
                )
                for one in events
            ]
        )

    async def settle(self) -> None:
        """Until everything on the subscribed topics is handled and the outbox is empty."""
        async with asyncio.timeout(_SETTLE_SECONDS):
            while not await self._settled():
                await self._died()
                await asyncio.sleep(0.005)

    async def _settled(self) -> bool:
        async with self.context.read() as session:
            rows = await session.driver.fetch("SELECT topic, partition, next_offset FROM consumed")
            left = await session.driver.fetchval("SELECT count(*) FROM outbox")
        positions = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
        topics = [one.topic.name for one in self.service.subscriptions]
        ends = {tp: self.log.end(tp) for name in topics for tp in self.log.partitions_of(name)}
        return left == 0 and all(positions.get(tp, 0) >= end for tp, end in ends.items())

    async def _died(self) -> None:
        if self.health.stopped_because:
            raise AssertionError(f"the consumer stopped: {self.health.stopped_because}")

    async def run_job(self, name: str) -> None:
        """Runs a job until it says that there is nothing more."""
        job = next(one for one in self.service.jobs if one.name == name)
        while await job.run(self.context, self.context.clock.now()):
            pass
        await self.settle()

    def published(self, *kinds: type[E]) -> list[E]:
        """What this service wrote to its topics, of these classes, in order per customer."""
        names = {TOPIC_OF[kind].name for kind in kinds}
        events = [
            parse(record.value, record.header(TYPE_HEADER))
            for name in sorted(names)
            for record in self.log.records(name)
            if record.value is not None
        ]
        return [one for one in events if isinstance(one, kinds)]

    def dead(self) -> list[dict[str, str]]:
        """The headers of this service's dead letters."""
        return [
            {name: value.decode() for name, value in record.headers}
            for record in self.log.records(f"{self.service.name}.dead")
        ]

    def key(self, scope: Scope) -> dict[str, str]:
        """Headers with a key of a scope."""
        if scope not in self._keys:
            self._keys[scope] = self._make_key(scope)
        return {"Authorization": f"Bearer {self._keys[scope]}"}

    def _make_key(self, scope: Scope) -> str:
        secret = "s" * 43
        event = KeyChanged(
            id=EventId(f"key-{scope}"),
            source="/test",
            subject=CustomerId(scope),
            time=wall_now(),
            recordedtime=wall_now(),
            data=KeyChangedData(
                key_id=scope, secret_hash=secret_hash(secret), scopes=(scope,), label="test"
            ),
        )
        self.context.keys._learn(event)
        return format_key(scope, secret)


@asynccontextmanager
async def running(
    build: Callable[..., Service],
    database_url: str,
    *,
    clock: Clock | None = None,
    settings: dict[str, Any] | None = None,
    log: MemoryLog | None = None,
    replica: str = "0",
    consume: bool = True,
    failpoints: FailPoints | None = None,
) -> AsyncIterator[Running]:
    """Migrates, starts the worker (consumer and relay; jobs only by `run_job`) and the app.

    Give the same `database_url` and `log` twice with another `replica` for two replicas.
    """
    chosen = type(build().settings)(database_url=database_url, **(settings or {}))
    service = build(chosen)
    await prepare(database_url, service)
    log = log if log is not None else MemoryLog()
    health, points, handle = Health(), failpoints or FailPoints({}), RelayHandle()
    async with AsyncExitStack() as stack:
        context = await stack.enter_async_context(
            open_context(
                service,
                log,
                clock or ManualClock(NOON),
                health=health,
                failpoints=points,
                keys=KeyRing(),
                handle=handle,
            )
        )
        worker = None
        if consume:
            quick = replace(service, jobs=())
            worker = make_worker(
                quick, context, handle, replica=replica, roles=frozenset({"consumer"})
            )
            stopping = asyncio.Event()
            task = asyncio.create_task(worker.run(stopping))
            stack.push_async_callback(_end, stopping, task)
        client = await stack.enter_async_context(_client(service, context, health))
        yield Running(service, context, log, worker, client, points, health)


async def _end(stopping: asyncio.Event, task: "asyncio.Task[None]") -> None:
    stopping.set()
    await task


@asynccontextmanager
async def _client(
    service: Service, context: Context, health: Health
) -> AsyncIterator[httpx.AsyncClient]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Context]:
        yield context

    edge = make_app(service, opened, health, "test")
    edge.app.state.context = context
    transport = httpx.ASGITransport(app=edge, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def in_batches(events: Sequence[E], size: int) -> list[Sequence[E]]:
    """The events in pieces of `size`, for tests that results do not depend on batch borders."""
    return [events[first : first + size] for first in range(0, len(events), size)]
