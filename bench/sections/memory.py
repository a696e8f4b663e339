"""(e) Memory: the peak of each process, and its slope while events flow.

The whole platform takes batch after batch through its door. After every stretch, when all services
have caught up, each process says what it holds; a straight line through those points, without the
first part of the run, is the slope.
"""

import contextlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from bench.figures import Aim, Row, Series, Table
from bench.load import Outcome
from bench.plan import Plan
from stack.platform import Platform, PlatformOptions, running_platform
from stack.ports import free_base

WARM_SHARE = 0.4
CUSTOMERS = 20_000
CATCH_UP_SECONDS = 900.0
SLOPE = Aim("<", 1)
BACKING = ("kafka", "postgres")
LOOK_SECONDS = 0.5
CALM_LOOKS = 10
_KILOBYTES = 1024
_MILLION = 1_000_000


@dataclass(slots=True)
class Held:
    """Megabytes that one process held after so many events."""

    points: list[tuple[int, float]] = field(default_factory=list)
    peak: float = 0.0

    def slope(self) -> float:
        """Megabytes per million events, by least squares over the later part of the run."""
        later = self.points[int(len(self.points) * WARM_SHARE) :]
        events, megabytes = zip(*later, strict=True)
        return statistics.linear_regression(events, megabytes).slope * _MILLION


def measure(plan: Plan) -> Table:
    """One long run; rounds would only restart what is to be watched."""
    folder = Path(tempfile.mkdtemp(prefix="tenure-bench-"))
    held: dict[str, Held] = {}
    plan.say("memory: the platform starts")
    try:
        with running_platform(PlatformOptions(folder, free_base())) as platform:
            stretch = max(plan.memory_batch, plan.memory_events // plan.memory_stretches)
            for number in range(plan.memory_stretches):
                _send(plan, platform, stretch, number)
                _catch_up(platform)
                _note(platform, held, (number + 1) * stretch)
                sizes = ", ".join(
                    f"{name} {one.points[-1][1]:.0f}" for name, one in sorted(held.items())
                )
                plan.say(f"memory after {(number + 1) * stretch:,} events (MB): {sizes}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _table(plan, held)


def _send(plan: Plan, platform: Platform, events: int, number: int) -> None:
    port = urlsplit(platform.urls["ingest"]).port
    requests = events // plan.memory_batch
    command = [
        sys.executable, "-m", "bench.load", "--port", str(port), "--requests", str(requests),
        "--batch", str(plan.memory_batch), "--customers", str(CUSTOMERS), "--connections", "8",
        "--seed", f"memory-{number}", "--authorization", f"Bearer {platform.keys['ingest']}",
    ]  # fmt: skip
    done = subprocess.run(  # noqa: S603 — our own module
        command, input="go\n", capture_output=True, text=True, check=True
    )
    outcome = Outcome(**json.loads(done.stdout.splitlines()[-1]))
    if outcome.refused:
        raise RuntimeError(f"{outcome.refused} of {requests} requests were refused")


def _catch_up(platform: Platform) -> None:
    """No lag anywhere, seen so often that every service has looked twice since."""
    urls = [plan.url for plan in platform.supervisor.plans if "consumer" in plan.roles]
    deadline = time.monotonic() + CATCH_UP_SECONDS
    calm = 0
    while calm < CALM_LOOKS:
        if time.monotonic() > deadline:
            raise TimeoutError(f"still behind after {CATCH_UP_SECONDS:.0f} s")
        calm = calm + 1 if all(_lag(url) == 0 for url in urls) else 0
        time.sleep(LOOK_SECONDS)


def _lag(url: str) -> int:
    """Records that a process knows to be waiting for it."""
    answer = httpx.get(f"{url}/readyz", timeout=10.0, trust_env=False)
    return sum(answer.json()["lag_records"].values())


def _note(platform: Platform, held: dict[str, Held], events: int) -> None:
    pids = {plan.name: platform.supervisor.pid(plan.name) for plan in platform.supervisor.plans}
    for name, pid in {**pids, "kafka": platform.kafka.pid}.items():
        assert pid is not None, f"{name} is not running"
        resident, peak = _megabytes(pid)
        one = held.setdefault(name, Held())
        one.points.append((events, resident))
        one.peak = max(one.peak, peak)
    held.setdefault("postgres", Held()).points.append((events, _proportional(platform)))


def _megabytes(pid: int) -> tuple[float, float]:
    """Resident now, and at most so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    found = {name: value for name, _, value in (line.partition(":") for line in lines)}
    return tuple(int(found[name].split()[0]) / _KILOBYTES for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]


def _proportional(platform: Platform) -> float:
    """The server and its backends, each shared page counted once."""
    assert platform.postgres.pid is not None
    server = psutil.Process(platform.postgres.pid)
    bytes_held = 0
    for process in (server, *server.children()):
        with contextlib.suppress(psutil.NoSuchProcess):  # a backend that just ended
            bytes_held += process.memory_full_info().pss
    return bytes_held / _KILOBYTES**2


def _table(plan: Plan, held: dict[str, Held]) -> Table:
    ours = {name: one for name, one in sorted(held.items()) if name not in BACKING}
    backing = {name: held[name] for name in BACKING}
    rows = [
        Row(f"{name}: slope", Series(name, "MB/million events", (one.slope(),)), aim=SLOPE)
        for name, one in ours.items()
    ]
    rows += [Row(f"{name}: peak", Series(name, "MB", (one.peak,))) for name, one in ours.items()]
    rows += [
        Row(f"{name}: at the end", Series(name, "MB", (one.points[-1][1],)))
        for name, one in backing.items()
    ]
    return Table(
        "memory",
        "Memory: each process's peak, and its slope while events flow",
        tuple(rows),
        (
            f"{plan.memory_events:,} events of {CUSTOMERS:,} customers through the door in batches "
            f"of {plan.memory_batch}, all services at work; held is read "
            f"{plan.memory_stretches} times, when nobody is behind.",
            f"Slope: least squares over the last {1 - WARM_SHARE:.0%} of the run.",
        ),
    )
