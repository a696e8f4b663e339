"""Runs one process of one service: HTTP in the main thread, the worker in a thread of its own.

The two never share an event loop: a batch holds its loop for tens of milliseconds, which would ruin
the latency of requests and the heartbeats of the group. SIGTERM and SIGINT drain, in this order and
within one deadline: readiness turns false and the batch in hand is committed, the socket closes,
requests in flight are answered, what all of them published is carried, exit 0.
"""

import asyncio
import gc
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version

import uvicorn
import uvloop

from shared.clock import Clock, EventClock, SystemClock, monotonic_seconds
from shared.runtime import failpoints
from shared.runtime.assembly import (
    RelayHandle,
    follow_keys,
    make_worker,
    open_context,
)
from shared.runtime.auth import KeyRing
from shared.runtime.event_clock import follow
from shared.runtime.heads import BoundedHeads
from shared.runtime.health import Health
from shared.runtime.kafka import KafkaLog
from shared.runtime.service import ROLES, Context, Service
from shared.runtime.settings import RuntimeSettings
from shared.runtime.telemetry import configure_logging, logger
from shared.runtime.web import make_app

_log = logger("app")
_THREAD_JOIN_EXTRA_SECONDS = 2
_REQUESTS_SHARE = 0.5  # of the time to drain; the rest is for carrying what they published
_GC_ALLOCATIONS = 50_000


def run(
    build: Callable[[], Service], *, roles: frozenset[str] = ROLES, port: int, replica: str = "0"
) -> int:
    """Runs until a signal comes; returns the exit code: 0 drained, 1 a part of it failed."""
    service = build()
    configure_logging(service.name, service.settings.log_level)
    return Process(service, roles, port, replica).run()


def clock_of(settings: RuntimeSettings) -> Clock:
    return EventClock() if settings.clock == "event" else SystemClock()


class Process:
    """One operating-system process of a service."""

    def __init__(self, service: Service, roles: frozenset[str], port: int, replica: str) -> None:
        self._service = service
        self._roles = roles
        self._port = port
        self._replica = replica
        self._health = Health(service.settings.stall_seconds, service.settings.away_seconds_max)
        self._keys = KeyRing()
        self._handle = RelayHandle()
        self._failpoints = failpoints.from_environment(os.environ)
        self._log = KafkaLog(service.settings)
        self._failed = False
        self._stop = asyncio.Event()
        self._worker_loop: asyncio.AbstractEventLoop | None = None
        self._worker_stopping = asyncio.Event()
        self._worker_served = asyncio.Event()

    def run(self) -> int:
        worker = None
        if self._roles & {"consumer", "jobs"}:
            worker = threading.Thread(target=self._run_worker, name="worker", daemon=True)
            worker.start()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve(worker))
        return 1 if self._failed else 0

    async def _serve(self, worker: threading.Thread | None) -> None:
        settings = self._service.settings
        api = self._api_context if "api" in self._roles else None
        app = make_app(self._service, api, self._health, tenure_version())
        server = _Server(
            uvicorn.Config(
                app,
                host=settings.http_host,
                port=self._port,
                loop="none",
                http=BoundedHeads,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=settings.connections_max,
                timeout_keep_alive=settings.keep_alive_seconds,
                timeout_graceful_shutdown=int(settings.drain_seconds * _REQUESTS_SHARE),
            )
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        serving = asyncio.create_task(server.serve())
        watching = asyncio.create_task(self._watch(worker))
        _log.info("started", port=self._port, roles=sorted(self._roles), replica=self._replica)
        await asyncio.wait(
            [asyncio.create_task(self._stop.wait()), serving], return_when=asyncio.FIRST_COMPLETED
        )
        await self._drain(server, serving, worker)
        watching.cancel()
        _log.info("stopped")

    async def _drain(
        self,
        server: uvicorn.Server,
        serving: "asyncio.Task[None]",
        worker: threading.Thread | None,
    ) -> None:
        settings = self._service.settings
        until = monotonic_seconds() + settings.drain_seconds + _THREAD_JOIN_EXTRA_SECONDS
        self._health.draining = True
        self._tell_worker(self._worker_stopping)
        if "api" in self._roles:
            await asyncio.wait([serving], timeout=settings.unready_notice_seconds)
        server.should_exit = True
        await asyncio.wait([serving], timeout=max(0.0, until - monotonic_seconds()))
        self._tell_worker(self._worker_served)
        if worker is not None:
            await asyncio.to_thread(worker.join, max(0.0, until - monotonic_seconds()))
        if serving.done():
            serving.result()

    @asynccontextmanager
    async def _api_context(self) -> AsyncIterator[Context]:
        clock = clock_of(self._service.settings)
        async with self._open(clock) as context:
            tasks = [asyncio.create_task(follow_keys(context))]
            if isinstance(clock, EventClock):
                self._health.waits("clock", "being read")
                tasks.append(asyncio.create_task(self._follow_time(context, clock)))
            for task in tasks:
                task.add_done_callback(lambda ended: self._ended(ended, self._stop))
            _settle_memory()
            try:
                yield context
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _open(self, clock: Clock) -> AbstractAsyncContextManager[Context]:
        """A role's own context: pools and resources belong to one event loop."""
        return open_context(
            self._service,
            self._log,
            clock,
            health=self._health,
            failpoints=self._failpoints,
            keys=self._keys,
            handle=self._handle,
        )

    def _run_worker(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._work())
        except BaseException as error:
            self._failed = True
            _log.error("worker failed", error=type(error).__name__, exc_info=error)

    async def _work(self) -> None:
        self._worker_loop = asyncio.get_running_loop()
        clock = clock_of(self._service.settings)
        async with self._open(clock) as context:
            worker = make_worker(
                self._service, context, self._handle, replica=self._replica, roles=self._roles
            )
            following = None
            if isinstance(clock, EventClock):
                following = asyncio.create_task(self._follow_time(context, clock))
                stopping = self._worker_stopping
                following.add_done_callback(lambda ended: self._ended(ended, stopping))
            await worker.writer.start()
            _settle_memory()
            try:
                await worker.run(self._worker_stopping, self._worker_served)
            finally:
                if following is not None:
                    following.cancel()
                await worker.writer.stop()

    async def _follow_time(self, context: Context, clock: EventClock) -> None:
        seconds = self._service.settings.event_clock_refresh_seconds
        await follow(context.database, clock, seconds, self._health)

    def _ended(self, task: "asyncio.Task[None]", stop: asyncio.Event) -> None:
        """Following keys or time is for ever: a process that does not would lie from then on."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed = True
            _log.error("cannot follow", error=type(error).__name__, exc_info=error)
            stop.set()

    async def _watch(self, worker: threading.Thread | None) -> None:
        """A worker that died takes the process with it; the supervisor starts another."""
        while worker is not None:
            await asyncio.sleep(0.2)
            if not worker.is_alive():
                self._stop.set()
                return

    def _tell_worker(self, event: asyncio.Event) -> None:
        if self._worker_loop is None:
            event.set()  # it has not begun to wait
            return
        with suppress(RuntimeError):  # its loop is closed already
            self._worker_loop.call_soon_threadsafe(event.set)


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the process drains in its own order."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _settle_memory() -> None:
    """What start-up made lives for ever: it is taken out of the collector's sight, and the
    collector told that a batch allocates many objects and leaves no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_ALLOCATIONS, 20, 50)


def tenure_version() -> str:
    """The installed version, or "0" when run from a bare tree."""
    try:
        return version("tenure")
    except PackageNotFoundError:
        return "0"
