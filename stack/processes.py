"""The service processes of one machine, and the supervisor that keeps them running.

A child that died is started again after a backoff, with one line that names it and its exit code;
so is one that says it stands still, or that has not answered for long.
What somebody stopped on purpose (`hold`) stays down until `release`.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stack.child import Child, describe
from stack.ports import Ports, free_ports
from stack.pulse import pulse
from stack.settings import LOOPBACK, StackSettings
from stack.signals import uninterrupted

POLL_SECONDS = 0.05
ROLES = ("api", "consumer", "jobs")
# Intake and scoring answer requests in one process and work in another, so that neither waits for
# the other; the rest do both in one.
SPLIT = ("ingest", "scoring")

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """One `tenure serve`. Workers have a port too, for health and metrics."""

    name: str
    service: str
    roles: tuple[str, ...]
    port: int
    replica: str = "1"
    # Something else than `tenure serve`: a demo's receiver, a test's program.
    other_command: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def command(self) -> list[str]:
        return list(self.other_command) or [
            sys.executable, "-m", "stack.cli", "serve", self.service, "--roles",
            ",".join(self.roles), "--port", str(self.port), "--replica", self.replica,
        ]  # fmt: skip


def usual_processes(ports: Ports) -> tuple[ProcessPlan, ...]:
    """What `tenure up` starts."""
    own = frozenset(ports.named().values())
    worker_ports = dict(zip(SPLIT, free_ports(len(SPLIT), avoid=own), strict=True))
    plans: list[ProcessPlan] = []
    for service, port in ports.services.items():
        if service in SPLIT:
            plans.append(ProcessPlan(service, service, ("api",), port))
            worker = ("consumer", "jobs")
            name = f"{service}-worker"
            plans.append(ProcessPlan(name, service, worker, worker_ports[service]))
        else:
            plans.append(ProcessPlan(service, service, ROLES, port))
    return tuple(plans)


def replica_of(plan: ProcessPlan, replica: str) -> ProcessPlan:
    """One more of the same, with its own port."""
    (port,) = free_ports(1)
    return ProcessPlan(f"{plan.name}-{replica}", plan.service, plan.roles, port, replica)


@dataclass(slots=True)
class _Slot:
    """One supervised process and its history."""

    plan: ProcessPlan
    child: Child | None = None
    started_at: float = 0.0
    restarts: int = 0
    failures: int = 0
    next_start_at: float | None = None
    held: bool = False
    frozen: bool = False
    # When it was last seen to answer, and whether its end has been told already.
    answered_at: float = 0.0
    told: bool = False


@dataclass(slots=True)
class Supervisor:
    """Starts, watches, restarts and drains; one thread watches, any thread may call."""

    log_dir: Path
    environment: Mapping[str, str]
    settings: StackSettings
    report: Report
    _slots: dict[str, _Slot] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _draining: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, plans: Sequence[ProcessPlan]) -> None:
        """Start processes and keep them running."""
        with uninterrupted(), self._lock:
            for plan in plans:
                assert plan.name not in self._slots, f"two processes named {plan.name}"
                self._slots[plan.name] = _Slot(plan)
                self._launch(self._slots[plan.name])
            if not self._threads:
                # Asking takes time when nobody answers: it must not hold up who brings back.
                self._threads = [
                    threading.Thread(target=work, name=work.__name__, daemon=True)
                    for work in (self._watch, self._feel)
                ]
                for thread in self._threads:
                    thread.start()

    @property
    def plans(self) -> tuple[ProcessPlan, ...]:
        with self._lock:
            return tuple(slot.plan for slot in self._slots.values())

    def pid(self, name: str) -> int | None:
        """The process id while it runs."""
        child = self._slots[name].child
        return child.pid if child is not None and child.exit_code() is None else None

    def restarts(self, name: str) -> int:
        """How often it was started again after it died."""
        return self._slots[name].restarts

    def kill(self, name: str) -> None:
        """SIGKILL; the supervisor brings it back unless it is held."""
        child = self._slots[name].child
        if child is not None:
            child.kill()

    def freeze(self, name: str) -> None:
        """SIGSTOP: alive for the system, dead for the others."""
        slot = self._slots[name]
        slot.frozen = True
        if slot.child is not None:
            slot.child.freeze()

    def thaw(self, name: str) -> None:
        slot = self._slots[name]
        if slot.child is not None:
            slot.child.thaw()
        slot.answered_at, slot.frozen = time.monotonic(), False

    def hold(self, name: str, *, kill: bool = False) -> None:
        """Take down and keep down until `release`."""
        with self._lock:
            slot = self._slots[name]
            slot.held, slot.next_start_at = True, None
        if slot.child is not None:
            slot.child.kill() if kill else slot.child.stop(self.settings.service_drain_seconds)

    def release(self, name: str) -> None:
        """Start what was held."""
        with self._lock:
            slot = self._slots[name]
            slot.held = False
            self._launch(slot)

    def remove(self, name: str) -> None:
        """Drain one process for good, as when a replica leaves."""
        self.hold(name)
        with self._lock:
            del self._slots[name]

    def drain(self) -> None:
        """Ask all at once, wait for all, then insist."""
        self._draining.set()
        for thread in self._threads:
            thread.join()
        with self._lock:
            children = [slot.child for slot in self._slots.values() if slot.child is not None]
        for child in children:
            child.thaw()
            child.ask_to_stop()
        deadline = time.monotonic() + self.settings.service_drain_seconds
        for child in children:
            if child.wait(max(0.0, deadline - time.monotonic())) is None:
                seconds = self.settings.service_drain_seconds
                self.report(f"{child.name} did not drain within {seconds:.0f} s and was killed.")
                child.kill()

    def _launch(self, slot: _Slot) -> None:
        slot.next_start_at = None
        slot.started_at = slot.answered_at = time.monotonic()
        slot.frozen = slot.told = False
        slot.child = Child(
            slot.plan.name,
            slot.plan.command,
            log_path=self.log_dir / f"{slot.plan.name}.log",
            environment={**os.environ, **self.environment},
        )

    def _watch(self) -> None:
        while not self._draining.wait(POLL_SECONDS):
            with self._lock:
                for slot in self._slots.values():
                    self._tend(slot)

    def _feel(self) -> None:
        """A service that lives but stands still is ended, so that `_watch` starts it again."""
        while not self._draining.wait(self.settings.service_pulse_seconds):
            with self._lock:
                slots = list(self._slots.values())
            for slot in slots:
                self._feel_one(slot)

    def _feel_one(self, slot: _Slot) -> None:
        child = slot.child
        if child is None or child.exit_code() is not None or not self._is_ours(slot, child):
            return
        beat = pulse(slot.plan.url)
        if beat.answered:
            slot.answered_at = time.monotonic()
        silent_seconds = time.monotonic() - slot.answered_at
        why = beat.stalled
        if why is None and silent_seconds > self.settings.service_silent_seconds_max:
            why = f"it has not answered for {silent_seconds:.0f} s"
        with self._lock:
            # What somebody took down or froze while we asked is not ours to end.
            if why is None or not self._is_ours(slot, child):
                return
            slot.told = True
        self.report(f"{slot.plan.name} stands still ({why[:200]}); starting it again")
        child.stop(self.settings.service_drain_seconds)

    def _is_ours(self, slot: _Slot, child: Child) -> bool:
        taken = slot.held or slot.frozen or slot.child is not child
        return not taken and not self._draining.is_set()

    def _tend(self, slot: _Slot) -> None:
        if slot.held or slot.child is None:
            return
        if slot.next_start_at is not None:
            if time.monotonic() >= slot.next_start_at:
                slot.restarts += 1
                self._launch_again(slot)
            return
        code = slot.child.exit_code()
        if code is None:
            return
        lived_seconds = time.monotonic() - slot.started_at
        slot.failures = 0 if lived_seconds > self.settings.service_steady_seconds else slot.failures
        wait_seconds = self._start_later(slot)
        why = "" if code < 0 else f" ({slot.child.last_words()[:200]})"
        if not slot.told:
            self.report(
                f"{slot.plan.name} ended with {describe(code)}{why}; "
                f"started again in {wait_seconds:.2g} s, log {slot.child.log_path}"
            )

    def _launch_again(self, slot: _Slot) -> None:
        """A full disk or too many processes: said, and tried again like a child that died."""
        try:
            self._launch(slot)
        except OSError as error:
            wait_seconds = self._start_later(slot)
            self.report(f"{slot.plan.name} cannot start: {error}; again in {wait_seconds:.2g} s")

    def _start_later(self, slot: _Slot) -> float:
        wait_seconds = backoff_seconds(slot.failures, self.settings)
        slot.failures += 1
        slot.next_start_at = time.monotonic() + wait_seconds
        return wait_seconds


def backoff_seconds(failures: int, settings: StackSettings) -> float:
    """Doubling from the first wait to the longest."""
    longest = settings.service_restart_seconds_max
    return float(min(longest, settings.service_restart_seconds_first * 2 ** min(failures, 32)))
