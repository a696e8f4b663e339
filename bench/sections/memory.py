"""(e) Memory: the peak of each process, and its slope while events flow.

The whole platform takes stretch after stretch through its door, for a set time. What each process
holds is sampled all the time, for its peak; and read after every stretch, when all services have
caught up, for its slope: a straight line through those points, without the first part of the run.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.figures import Aim, Row, Series, Table
from bench.load import Outcome
from bench.plan import Plan
from bench.resident import SAMPLE_SECONDS, WARM_SHARE, Held, megabytes_of, sampled
from bench.whole import catch_up, disturbances, pids_of, whole_platform
from stack.platform import Platform

CUSTOMERS = 20_000
CONNECTIONS = 8
SLOPE = Aim("<", 1)
# Fewer make no line.
STRETCHES_MIN = 6


@dataclass(frozen=True, slots=True)
class _Found:
    """What every process held in one run, by name."""

    held: dict[str, Held]
    events: int
    stretches: int
    spoilt_by: tuple[str, ...]


def measure(plan: Plan) -> Table:
    """One long run; rounds would only restart what is to be watched."""
    plan.say("memory: the platform starts")
    with whole_platform() as platform:
        found = _measure(plan, platform)
    return _table(plan, found)


def _measure(plan: Plan, platform: Platform) -> _Found:
    held: dict[str, Held] = {}
    began_as, began = pids_of(platform), time.monotonic()
    events = stretches = 0
    with sampled(held, lambda: pids_of(platform)):
        while stretches < STRETCHES_MIN or time.monotonic() - began < plan.memory_seconds:
            events += _send(plan, platform, stretches)
            stretches += 1
            catch_up(platform)
            for name, pid in pids_of(platform).items():
                if pid is not None:
                    held.setdefault(name, Held()).points.append((events, megabytes_of(pid)))
            sizes = ", ".join(f"{name} {held[name].points[-1][1]:.0f}" for name in sorted(held))
            plan.say(f"memory after {events:,} events (MB): {sizes}")
    return _Found(held, events, stretches, disturbances(began_as, pids_of(platform)))


def _send(plan: Plan, platform: Platform, number: int) -> int:
    port = urlsplit(platform.urls["ingest"]).port
    requests = max(1, plan.memory_stretch_events // plan.memory_batch)
    command = [
        sys.executable, "-m", "bench.load", "--port", str(port), "--requests", str(requests),
        "--batch", str(plan.memory_batch), "--customers", str(CUSTOMERS),
        "--connections", str(CONNECTIONS), "--seed", f"memory-{number}",
        "--authorization", f"Bearer {platform.keys['ingest']}",
    ]  # fmt: skip
    done = subprocess.run(  # noqa: S603 — our own module
        command, input="go\n", capture_output=True, text=True, check=True
    )
    outcome = Outcome(**json.loads(done.stdout.splitlines()[-1]))
    if outcome.refused:
        raise RuntimeError(f"{outcome.refused} of {requests} requests were refused")
    return requests * plan.memory_batch


def _table(plan: Plan, found: _Found) -> Table:
    held = dict(sorted(found.held.items()))
    steepest = max(held, key=lambda name: held[name].slope())
    largest = max(held, key=lambda name: held[name].peak)
    rows = [
        _slope(f"the steepest slope: {steepest}", held[steepest], headline=True),
        _peak(f"the largest peak: {largest}", [held[largest]], headline=True),
        _peak("all peaks together", list(held.values()), headline=True),
        *(_slope(f"{name}: slope", one) for name, one in held.items()),
        *(_peak(f"{name}: peak", [one]) for name, one in held.items()),
    ]
    return Table(
        "memory",
        "Memory: each process's peak, and its slope while events flow",
        tuple(rows),
        (
            f"{found.events:,} events of {CUSTOMERS:,} customers through the door in batches "
            f"of {plan.memory_batch}, all services at work, in {found.stretches} stretches. Memory "
            "is proportional (PSS), PostgreSQL with all its backends; peaks are sampled "
            f"every {SAMPLE_SECONDS:.0f} s.",
            f"Slope: least squares over the last {1 - WARM_SHARE:.0%} of the run, through what is "
            "held whenever nobody is behind; ± its standard error. Kafka's heap and PostgreSQL's "
            "shared buffers fill up to their limits first.",
        ),
        found.spoilt_by,
    )


def _slope(what: str, one: Held, *, headline: bool = False) -> Row:
    series = Series("tenure", "MB/million events", (one.slope(),))
    return Row(f"{what} (± {one.slope_error():.2g})", series, aim=SLOPE, headline=headline)


def _peak(what: str, several: Sequence[Held], *, headline: bool = False) -> Row:
    series = Series("tenure", "MB", (sum(one.peak for one in several),))
    return Row(what, series, headline=headline)
