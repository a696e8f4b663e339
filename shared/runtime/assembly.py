"""Puts the parts of one running service together, for one role's event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

from shared.clock import Clock, EventClock, monotonic_seconds
from shared.events.topics import ACCESS_KEYS, retry_topic
from shared.retry import Backoff
from shared.runtime.auth import KeyRing
from shared.runtime.consumer import Consumer
from shared.runtime.db import Database
from shared.runtime.event_clock import refresh
from shared.runtime.failpoints import FailPoints
from shared.runtime.failures import is_transient
from shared.runtime.health import Health
from shared.runtime.jobs import housekeeping, run_jobs
from shared.runtime.leader import JOBS, RELAY, Connection, Leader, lead_relay, relay_channel
from shared.runtime.log import Log, LogUnavailable, LogWriter, TopicPartition
from shared.runtime.outbox import Relay, hold
from shared.runtime.service import Context, Job, Service
from shared.runtime.telemetry import logger

_log = logger("assembly")
_KEYS_POLL_SECONDS = 0.2


@dataclass(slots=True)
class RelayHandle:
    """How any thread of this process wakes the relay, wherever it is."""

    wake_local: Callable[[], None] | None = None
    leading: Callable[[], bool] = field(default=lambda: False)


@asynccontextmanager
async def open_context(
    service: Service,
    log: Log,
    clock: Clock,
    *,
    health: Health,
    failpoints: FailPoints,
    keys: KeyRing,
    handle: RelayHandle,
) -> AsyncIterator[Context]:
    """A context with its own pools and resources; closed on leaving."""
    async with AsyncExitStack() as stack:
        database = Database(service.settings, failpoints)
        stack.push_async_callback(database.close)
        poke = _Poke(database, handle, service.name)
        stack.push_async_callback(poke.close)
        context = Context(
            name=service.name,
            settings=service.settings,
            database=database,
            log=log,
            clock=clock,
            keys=keys,
            health=health,
            failpoints=failpoints,
            poke_relay=poke,
        )
        if service.resources is not None:
            opened = service.resources(service.settings, database, log)
            context = replace(context, resources=await stack.enter_async_context(opened))
        yield context


class _Poke:
    """Wakes the relay: directly when this process leads, by a notification otherwise.

    The notification is a statement of its own, after the commit: within it, it would take a lock
    that all committing sessions of the server share.
    """

    def __init__(self, database: Database, handle: RelayHandle, name: str) -> None:
        self._database = database
        self._handle = handle
        self._channel = relay_channel(name)
        self._sending: asyncio.Task[None] | None = None
        self._again = False

    async def __call__(self) -> None:
        if self._handle.wake_local is not None and self._handle.leading():
            self._handle.wake_local()
        elif self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._notify())
        else:
            self._again = True

    async def close(self) -> None:
        """Lets a notification under way give its connection back."""
        if self._sending is not None:
            await asyncio.wait({self._sending})

    async def _notify(self) -> None:
        self._again = True
        while self._again:
            self._again = False
            try:
                async with self._database.read() as session:
                    await session.driver.execute("SELECT pg_notify($1, '')", self._channel)
            except Exception as error:
                if not is_transient(error):
                    raise
                return  # the relay's own sweep finds the rows


async def follow_keys(context: Context) -> None:
    """Keeps the key ring current, for ever. Requests wait with 503 until it was read once."""
    context.health.waits("keys", "being read")
    delays = Backoff().delays()
    while True:
        reader = context.log.reader([ACCESS_KEYS.name], group=None, member="keys")
        try:
            await reader.start(_Unassigned())
            ends: dict[TopicPartition, int] = {}
            while True:
                # Until the topic is known to the client it has no partitions, hence no ends.
                ends = ends or dict(await reader.end_offsets())
                batch = await reader.poll(records_max=1_000, timeout_seconds=_KEYS_POLL_SECONDS)
                for partition, records in batch.items():
                    context.keys.apply(records)
                    if records[-1].offset + 1 >= ends.get(partition, 0):
                        ends[partition] = 0
                if ends and not any(ends.values()):
                    context.health.waits("keys", None)
                    delays = Backoff().delays()
        except LogUnavailable as away:
            _log.warning("keys cannot be read", detail=str(away)[:200])
            await asyncio.sleep(next(delays))
        finally:
            await reader.stop()


class _Unassigned:
    """Readers without a group are not assigned anything."""

    async def assigned(
        self,
        partitions: frozenset[TopicPartition],  # noqa: ARG002 — the protocol's
    ) -> Mapping[TopicPartition, int | None]:
        return {}

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:  # noqa: ARG002
        return


@dataclass(slots=True)
class Worker:
    """The consumer, the relay and the jobs of one process, in one event loop."""

    service: Service
    context: Context
    writer: LogWriter
    consumer: Consumer | None
    jobs: tuple[Job, ...] | None
    handle: RelayHandle
    relay: Relay
    _until: float = 0.0

    async def run(self, stopping: asyncio.Event, served: asyncio.Event | None = None) -> None:
        """Until `stopping`; then the batch in hand is finished, and what it published carried.

        What requests publish is carried as well, until `served` says that there are no more.
        """
        settings = self.service.settings
        health = self.context.health
        leader = Leader(
            settings, RELAY, lambda held: lead_relay(held, self.relay, settings, health), health
        )
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(self.relay.wake)

        self.handle.wake_local = wake
        self.handle.leading = lambda: leader.leading
        if isinstance(self.context.clock, EventClock):
            await self._learn_time(self.context.clock)
        # Closed first, cancelled last: what the batch in hand publishes should still leave.
        carrying = [asyncio.create_task(leader.run())]
        working = self._start_jobs()
        reading = asyncio.create_task(self.consumer.run()) if self.consumer else None
        everything = [*carrying, *working, *([reading] if reading else [])]
        waiting = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait([waiting, *everything], return_when=asyncio.FIRST_COMPLETED)
            self._until = monotonic_seconds() + settings.drain_seconds
            await self._drain(reading, working)
            if served is not None and stopping.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._left()):
                        await served.wait()
            if leader.leading:
                await self._await_empty_outbox()
        finally:
            for task in [waiting, *everything]:
                task.cancel()
            ended = await asyncio.gather(*everything, return_exceptions=True)
            self.handle.leading = lambda: False
        for outcome in ended:
            if isinstance(outcome, Exception):
                raise outcome

    def _start_jobs(self) -> list[asyncio.Task[None]]:
        if self.jobs is None:
            return []
        every = (*self.jobs, *housekeeping(self.service.settings.inbox_sweep_seconds))
        exclusive = [job for job in every if job.exclusive]
        shared = [job for job in every if not job.exclusive]

        async def lead(held: Connection) -> None:
            self.context.health.waits(JOBS, None)
            await hold(held, run_jobs(self.context, exclusive))

        leader = Leader(self.service.settings, JOBS, lead, self.context.health)
        tasks = [asyncio.create_task(leader.run())]
        if shared:
            tasks.append(asyncio.create_task(run_jobs(self.context, shared)))
        return tasks

    async def _drain(
        self, reading: asyncio.Task[None] | None, working: list[asyncio.Task[None]]
    ) -> None:
        for task in working:
            task.cancel()
        if self.consumer is not None:
            self.consumer.stop()
        if ending := [*working, *([reading] if reading else [])]:
            await asyncio.wait(ending, timeout=self._left())

    def _left(self) -> float:
        """Seconds until the drain has to be over."""
        return max(0.0, self._until - monotonic_seconds())

    async def _await_empty_outbox(self) -> None:
        """Best effort: what stays is carried by the next leader."""
        try:
            async with asyncio.timeout(self.service.settings.drain_seconds / 4):
                while True:
                    self.relay.wake()
                    async with self.context.read() as session:
                        if not await session.driver.fetchval("SELECT EXISTS (TABLE outbox)"):
                            return
                    await asyncio.sleep(0.02)
        except Exception as error:
            if not is_transient(error):
                raise
            _log.warning("outbox not empty at stop", error=type(error).__name__)

    async def _learn_time(self, clock: EventClock) -> None:
        for delay in Backoff().delays():
            try:
                await refresh(self.context.database, clock)
            except Exception as error:
                if not is_transient(error):
                    raise
                await asyncio.sleep(delay)
            else:
                return


def make_worker(
    service: Service, context: Context, handle: RelayHandle, *, replica: str, roles: frozenset[str]
) -> Worker:
    """The worker of a process with these roles."""
    settings = service.settings
    writer = context.log.writer()
    consumer = None
    if "consumer" in roles and service.subscriptions:
        topics = [one.topic.name for one in service.subscriptions]
        topics.append(retry_topic(service.name).name)
        consumer = Consumer(
            context,
            service.subscriptions,
            lambda: context.log.reader(topics, group=service.name, member=replica),
        )
    return Worker(
        service,
        context,
        writer,
        consumer,
        service.jobs if "jobs" in roles else None,
        handle,
        Relay(writer, settings.relay_batch_records, context.failpoints),
    )
