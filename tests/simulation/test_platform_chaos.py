"""The real log while everything is killed, and while replicas come and go: the same final state."""

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from shared.runtime.failpoints import FailPoints, parse
from stack.demo.happening import Happening
from stack.platform import Platform, running_platform
from stack.ports import free_base
from stack.processes import ProcessPlan
from tests.simulation.faults import SEED
from tests.simulation.havoc import (
    DIE_IN_PLACE,
    armed_processes,
    died_in_place,
    kills_of_everything,
    replicas_that_join_and_leave,
)
from tests.simulation.replay import NAIVE, Snapshot, invoices, options, replay

PlatformOf = Callable[..., AbstractContextManager[Platform]]
# The control dies between its two commits, and nowhere else.
NAIVE_GAP = "consumer.after_commit=error:0.2"


@pytest.fixture(scope="module")
def platform_of() -> Iterator[PlatformOf]:
    """Platforms that begin as copies of one: ids derive from the keys, which must be the same."""
    root = Path(tempfile.mkdtemp(prefix="tenure-chaos-"))
    first = root / "first"
    with running_platform(options(first, free_base())):
        pass

    @contextmanager
    def make(
        processes: Callable[[int], Sequence[ProcessPlan] | None] = lambda _base: None,
    ) -> Iterator[Platform]:
        folder, base = Path(tempfile.mkdtemp(prefix="copy-", dir=root)), free_base()
        subprocess.run(["cp", "-a", f"{first}/.", folder], check=True)
        with running_platform(options(folder, base, processes(base))) as platform:
            yield platform

    yield make
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="module")
def history() -> list[Happening]:
    return invoices()


@pytest.fixture(scope="module")
def untouched(history: list[Happening], platform_of: PlatformOf) -> Snapshot:
    """The state of a run that nobody disturbed; it must hold something of everything."""
    with platform_of() as platform, asyncio.Runner() as runner:
        taken = runner.run(replay(platform, history))
    empty = [name for name, rows in taken.rows.items() if not rows]
    assert empty == ["scoring.links"], "this history links nobody, and has something of all else"
    assert taken.delivered.total() > len(history)
    return taken


@pytest.mark.timeout(900)
async def test_kills_of_everything_change_nothing(
    history: list[Happening], untouched: Snapshot, platform_of: PlatformOf, tmp_path: Path
) -> None:
    """Every process dies, every relay in its gap; posts go on while the pair is down.

    The textbook recipe reads the same events beside us and dies in its own gap: the comparison
    that finds nothing in ours must find what it counted twice.
    """
    print(f"TENURE_SIMULATION_SEED={SEED}")
    folder = tmp_path / "lives"
    with platform_of(lambda base: armed_processes(base, folder, SEED)) as platform:
        names = [plan.name for plan in platform.supervisor.plans]
        disturbed = await replay(
            platform,
            history,
            kills_of_everything(platform, folder, SEED),
            FailPoints(parse(NAIVE_GAP), SEED),
        )
        deaths = {name: platform.supervisor.restarts(name) for name in names}
    print("deaths", deaths)
    assert min(deaths.values()) >= 1, deaths
    assert all(died_in_place(folder, name) for name in DIE_IN_PLACE)
    found = untouched.differences(disturbed)
    naive = found.pop(NAIVE, None)
    assert not found, told(found)
    assert naive, "the comparison does not see what the textbook recipe counts twice"


@pytest.mark.timeout(900)
async def test_replicas_that_join_and_leave_change_nothing(
    history: list[Happening], untouched: Snapshot, platform_of: PlatformOf
) -> None:
    happened: list[str] = []
    with platform_of() as platform:
        changed = await replay(platform, history, replicas_that_join_and_leave(platform, happened))
    found = untouched.differences(changed)
    assert not found, told(found)
    assert happened == ["scoring joined", "loyalty joined", "scoring left", "loyalty left"]


def told(differences: dict[str, list[str]]) -> str:
    return "\n".join(line[:600] for name, lines in differences.items() for line in (name, *lines))


def test_negative_control_a_difference_is_seen() -> None:
    one = Snapshot({"table": ["a", "b"]})
    assert one.differences(Snapshot({"table": ["a", "b"]})) == {}
    assert one.differences(Snapshot({"table": ["a", "a", "b"]}))
    assert one.differences(Snapshot({"table": ["a", "c"]}))
