"""The whole platform, empty, in a folder that goes away; and whether it ran undisturbed."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

from stack.platform import Platform, PlatformOptions, running_platform
from stack.ports import free_base

CATCH_UP_SECONDS = 600.0
LOOK_SECONDS = 0.5
# A worker looks for its lag every two seconds: so often in a row, and each has looked twice.
CALM_LOOKS = 10

Pids = Mapping[str, int | None]


@contextlib.contextmanager
def whole_platform(environment: Mapping[str, str] | None = None) -> Iterator[Platform]:
    """All services, Kafka and PostgreSQL, ready."""
    folder = Path(tempfile.mkdtemp(prefix="tenure-bench-"))
    options = PlatformOptions(folder, free_base(), environment=dict(environment or {}))
    try:
        with running_platform(options) as platform:
            yield platform
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def catch_up(platform: Platform) -> None:
    """Returns when no process that runs knows of a record that waits for it."""
    urls = [
        plan.url
        for plan in platform.supervisor.plans
        if "consumer" in plan.roles and platform.supervisor.pid(plan.name) is not None
    ]
    deadline = time.monotonic() + CATCH_UP_SECONDS
    calm = 0
    while calm < CALM_LOOKS:
        if time.monotonic() > deadline:
            raise TimeoutError(f"still behind after {CATCH_UP_SECONDS:.0f} s")
        calm = calm + 1 if all(_lag(url) == 0 for url in urls) else 0
        time.sleep(LOOK_SECONDS)


def pids_of(platform: Platform) -> dict[str, int | None]:
    """Of every process by name; None for one that does not run."""
    supervisor = platform.supervisor
    services = {plan.name: supervisor.pid(plan.name) for plan in supervisor.plans}
    return {**services, "kafka": platform.kafka.pid, "postgres": platform.postgres.pid}


def disturbances(before: Pids, after: Pids) -> tuple[str, ...]:
    """What makes a run void: who is not the process that began it."""
    return tuple(
        f"{name} ended or was started again" for name, pid in before.items() if after[name] != pid
    )


def _lag(url: str) -> int:
    """Records that a process knows to be waiting for it."""
    answer = httpx.get(f"{url}/readyz", timeout=10.0, trust_env=False)
    return sum(answer.json()["lag_records"].values())
