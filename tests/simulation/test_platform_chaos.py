"""The real log while everything is killed, and while replicas come and go: the same final state."""

import asyncio
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from stack.demo.happening import Happening
from stack.platform import Platform, running_platform
from stack.ports import free_base
from stack.processes import replica_of
from tests.simulation.replay import Snapshot, invoices, killer, options, replay

SEED = int(os.environ.get("TENURE_SIMULATION_SEED", random.randrange(10_000)))
# Each of these breaks off in the relay's gaps now and then, beside the kills from outside.
RELAY_DEATHS = "relay.after_write=kill:0.004,relay.before_write=kill:0.004"


PlatformOf = Callable[..., AbstractContextManager[Platform]]


@pytest.fixture(scope="module")
def platform_of() -> Iterator[PlatformOf]:
    """Platforms that begin as copies of one: ids derive from the keys, which must be the same."""
    root = Path(tempfile.mkdtemp(prefix="tenure-chaos-"))
    first = root / "first"
    with running_platform(options(first, free_base())):
        pass

    @contextmanager
    def make(**environment: str) -> Iterator[Platform]:
        folder = Path(tempfile.mkdtemp(prefix="copy-", dir=root))
        subprocess.run(["cp", "-a", f"{first}/.", folder], check=True)
        with running_platform(options(folder, free_base(), **environment)) as platform:
            yield platform

    yield make
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="module")
def history() -> list[Happening]:
    return invoices()


@pytest.fixture(scope="module")
def undisturbed(history: list[Happening], platform_of: PlatformOf) -> Snapshot:
    with platform_of() as platform, asyncio.Runner() as runner:
        return runner.run(replay(platform, history))


@pytest.mark.timeout(900)
async def test_kills_of_everything_change_nothing(
    history: list[Happening], undisturbed: Snapshot, platform_of: PlatformOf
) -> None:
    print(f"TENURE_SIMULATION_SEED={SEED}")
    with platform_of(TENURE_FAILPOINTS=RELAY_DEATHS, TENURE_FAILPOINTS_SEED=str(SEED)) as platform:
        disturbed = await replay(platform, history, killer(platform, SEED))
    found = undisturbed.differences(disturbed)
    assert not found, told(found)


@pytest.mark.timeout(900)
async def test_replicas_that_join_and_leave_change_nothing(
    history: list[Happening], undisturbed: Snapshot, platform_of: PlatformOf
) -> None:
    with platform_of() as platform:
        plans = {plan.name: plan for plan in platform.supervisor.plans}
        others = [replica_of(plans["scoring-worker"], "2"), replica_of(plans["loyalty"], "2")]

        def join_and_leave(chunk: int) -> None:
            if chunk == 4:
                platform.supervisor.start(others)
            if chunk == 12:
                for other in others:
                    platform.supervisor.remove(other.name)

        changed = await replay(platform, history, join_and_leave)
    found = undisturbed.differences(changed)
    assert not found, told(found)


def told(differences: dict[str, list[str]]) -> str:
    return "\n".join(line[:600] for name, lines in differences.items() for line in (name, *lines))


def test_negative_control_a_difference_is_seen() -> None:
    one = Snapshot({"table": ["a", "b"]})
    assert one.differences(Snapshot({"table": ["a", "b"]})) == {}
    assert one.differences(Snapshot({"table": ["a", "a", "b"]}))
    assert one.differences(Snapshot({"table": ["a", "c"]}))
