"""The whole platform on one machine, as a context: backing, topics, schemas, keys, services.

`tenure up`, the demo, and the tests that kill things use the same `running_platform`:

    with running_platform(PlatformOptions(data_dir=folder, port_base=21000)) as platform:
        platform.urls["ingest"]; platform.keys["ingest"]
        platform.kill("loyalty")           # SIGKILL; comes back by itself
        platform.kill("kafka")             # stays down …
        platform.start("kafka")            # … until it is started
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stack import backing
from stack.addresses import Addresses, forget, note
from stack.child import describe
from stack.errors import StackError
from stack.failures import explained, first_line
from stack.ports import Ports, require_free
from stack.prepare import prepare
from stack.processes import ProcessPlan, Report, Supervisor, usual_processes
from stack.pulse import readiness
from stack.settings import StackSettings
from stack.waiting import wait_for

PIECE_POLL_SECONDS = 0.25


def silent(_line: str) -> None:
    """A report nobody reads."""


@dataclass(frozen=True, slots=True)
class PlatformOptions:
    """What `up` can be told."""

    data_dir: Path = Path(".tenure")
    port_base: int | None = None
    clock: Literal["wall", "event"] = "wall"
    prefer: backing.Prefer = "embedded"
    environment: dict[str, str] = field(default_factory=dict)
    # None: the usual ones.
    processes: Sequence[ProcessPlan] | None = None
    report: Report = silent
    # Topics, schemas and first keys; answers the keys.
    prepare: Callable[[Mapping[str, str], Path, Report], dict[str, str]] = prepare


@dataclass(slots=True)
class Platform:
    """A running platform and its handles. Names: process names, `postgres` and `kafka`."""

    data_dir: Path
    urls: dict[str, str]
    keys: dict[str, str]
    postgres: backing.Postgres
    kafka: backing.Kafka
    supervisor: Supervisor
    settings: StackSettings
    _held: set[str] = field(default_factory=set)

    @property
    def database_url(self) -> str:
        return self.postgres.url

    @property
    def bootstrap(self) -> str:
        return self.kafka.bootstrap

    def kill(self, name: str) -> None:
        """SIGKILL. A service comes back by itself; a backing piece when it is started."""
        piece = self._piece(name)
        if piece is None:
            self.supervisor.kill(name)
        else:
            self._held.add(name)
            piece.kill()

    def stop(self, name: str) -> None:
        """Take down in good order; down until `start`."""
        piece = self._piece(name)
        if piece is None:
            self.supervisor.hold(name)
        else:
            self._held.add(name)
            piece.stop()

    def start(self, name: str) -> None:
        """Bring back what was stopped."""
        piece = self._piece(name)
        if piece is None:
            self.supervisor.release(name)
        else:
            piece.start()
            self._held.discard(name)

    def freeze(self, name: str) -> None:
        """SIGSTOP."""
        (self._piece(name) or _Process(self.supervisor, name)).freeze()

    def thaw(self, name: str) -> None:
        """SIGCONT."""
        (self._piece(name) or _Process(self.supervisor, name)).thaw()

    def is_held(self, name: str) -> bool:
        """Whether a backing piece is down on purpose."""
        return name in self._held

    def wait_until_ready(self, seconds: float | None = None) -> None:
        """Every process answers 200 on `/readyz`; an error says who does not, and why."""
        limit = self.settings.service_ready_seconds if seconds is None else seconds
        waiting = {plan.name: plan for plan in self.supervisor.plans}
        answers: dict[str, str] = {}

        def all_ready() -> bool:
            for name, plan in list(waiting.items()):
                answers[name] = readiness(plan.url)
                if answers[name] == "ready":
                    del waiting[name]
            return not waiting

        if not wait_for(all_ready, limit):
            name = next(iter(waiting))
            log_path = self.data_dir / "logs" / f"{name}.log"
            raise StackError(
                f"{', '.join(waiting)} not ready after {limit:.0f} s: {answers[name]}.",
                f"See {log_path}.",
            )

    def _piece(self, name: str) -> backing.Piece | None:
        pieces: dict[str, backing.Piece] = {"postgres": self.postgres, "kafka": self.kafka}
        return pieces.get(name)


@dataclass(frozen=True, slots=True)
class _Process:
    """A service process with the verbs of a piece."""

    supervisor: Supervisor
    name: str

    def freeze(self) -> None:
        self.supervisor.freeze(self.name)

    def thaw(self) -> None:
        self.supervisor.thaw(self.name)


@contextlib.contextmanager
def running_backing(
    options: PlatformOptions, settings: StackSettings
) -> Iterator[tuple[backing.Postgres, backing.Kafka]]:
    """PostgreSQL and Kafka, stopped at the end in that order: the broker last to take records."""
    ports = Ports.of(options.port_base)
    postgres = backing.postgres(options.data_dir, ports.postgres, settings, options.prefer)
    kafka = backing.kafka(options.data_dir, ports.kafka, settings, options.prefer)
    try:
        options.report("starting PostgreSQL and Kafka")
        postgres.start()
        kafka.start()
        yield postgres, kafka
    finally:
        kafka.stop()
        postgres.stop()


@contextlib.contextmanager
def running_platform(options: PlatformOptions) -> Iterator[Platform]:
    """Everything, ready to be used; drained when the context is left."""
    settings = StackSettings(data_dir=options.data_dir)
    ports = Ports.of(options.port_base)
    with contextlib.ExitStack() as stack:
        stack.enter_context(backing.locked_data_dir(options.data_dir, settings))
        for purpose, port in ports.services.items():
            require_free(port, purpose)
        postgres, kafka = stack.enter_context(running_backing(options, settings))
        environment = {
            "TENURE_DATABASE_URL": postgres.url,
            "TENURE_KAFKA": kafka.bootstrap,
            "TENURE_CLOCK": options.clock,
            "TENURE_DATA_DIR": str(options.data_dir.resolve()),
            **options.environment,
        }
        options.report("preparing topics, schemas and keys")
        stack.callback(forget, options.data_dir)
        urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.services.items()}
        here = Addresses(postgres.url, kafka.bootstrap, options.clock, urls["ingest"])
        note(options.data_dir, here)
        keys = options.prepare(environment, options.data_dir, options.report)
        supervisor = Supervisor(
            options.data_dir.resolve() / "logs", environment, settings, options.report
        )
        platform = Platform(options.data_dir, urls, keys, postgres, kafka, supervisor, settings)
        stack.callback(supervisor.drain)
        options.report("starting services")
        supervisor.start(usual_processes(ports) if options.processes is None else options.processes)
        platform.wait_until_ready()
        stack.enter_context(_watched(platform, options.report))
        yield platform


@contextlib.contextmanager
def _watched(platform: Platform, report: Report) -> Iterator[None]:
    """Bring back a backing piece that died by itself, and say so in one line."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(PIECE_POLL_SECONDS):
            for name in ("postgres", "kafka"):
                # Nobody but this thread brings a piece back: whatever it meets, it goes on.
                try:
                    bring_back(platform, name, report, over)
                except Exception as error:
                    report(f"{name} does not start: {explained(error) or first_line(error)}")
                    over.wait(platform.settings.service_restart_seconds_max)

    watcher = threading.Thread(target=watch, name="watch-backing", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def bring_back(platform: Platform, name: str, report: Report, over: threading.Event) -> None:
    """Starts a piece that died by itself."""
    piece: backing.Piece = platform.postgres if name == "postgres" else platform.kafka
    code = piece.exit_code()
    if code is None or platform.is_held(name) or over.is_set():
        return
    report(f"{name} ended with {describe(code)}; starting it again")
    backing.require_space(platform.data_dir, platform.settings.disk_free_mb_min)
    piece.start()
