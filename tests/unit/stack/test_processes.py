"""The supervisor, on small real processes."""

import sys
from pathlib import Path

import psutil

from stack.ports import Ports
from stack.processes import ProcessPlan, Supervisor, backoff_seconds, usual_processes
from stack.settings import StackSettings
from stack.waiting import wait_for

SETTINGS = StackSettings(service_restart_seconds_first=0.02, service_drain_seconds=5)
SLEEPER = (sys.executable, "-c", "import signal; signal.pause()")
STUBBORN = (
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('deaf', flush=True)\n"
    "while True: signal.pause()",
)
FAILING = (sys.executable, "-c", "raise SystemExit('ERROR: no settings')")


def plan(command: tuple[str, ...], name: str = "loyalty") -> ProcessPlan:
    return ProcessPlan(name, name, ("api",), 1, other_command=command)


def supervisor(folder: Path, lines: list[str], settings: StackSettings = SETTINGS) -> Supervisor:
    return Supervisor(folder, {}, settings, lines.append)


def test_intake_and_scoring_serve_and_work_in_processes_of_their_own() -> None:
    plans = {one.name: one for one in usual_processes(Ports.of(21000))}
    assert plans["ingest"].roles == plans["scoring"].roles == ("api",)
    assert plans["ingest-worker"].roles == ("consumer", "jobs")
    assert plans["webhooks"].roles == ("api", "consumer", "jobs")
    assert len(plans) == 8
    assert len({one.port for one in plans.values()}) == 8


def test_a_killed_process_comes_back_and_is_reported_in_one_line(tmp_path: Path) -> None:
    lines: list[str] = []
    watched = supervisor(tmp_path, lines)
    watched.start([plan(SLEEPER)])
    first = watched.pid("loyalty")
    watched.kill("loyalty")
    assert wait_for(lambda: watched.pid("loyalty") not in {None, first}, 10)
    watched.drain()
    assert watched.restarts("loyalty") == 1
    assert len(lines) == 1
    assert "loyalty ended with signal SIGKILL" in lines[0]


def test_a_process_that_cannot_start_is_tried_again_ever_more_rarely(tmp_path: Path) -> None:
    lines: list[str] = []
    watched = supervisor(tmp_path, lines)
    watched.start([plan(FAILING)])
    assert wait_for(lambda: len(lines) >= 3, 10)
    watched.drain()
    assert "exit code 1 (ERROR: no settings)" in lines[0]
    assert "0.02 s" in lines[0]
    assert "0.08 s" in lines[2]


def test_backoff_doubles_up_to_its_limit() -> None:
    waits = [backoff_seconds(failures, StackSettings()) for failures in range(100)]
    assert waits[:3] == [0.25, 0.5, 1.0]
    assert max(waits) == 15.0


def test_what_is_held_stays_down_until_it_is_released(tmp_path: Path) -> None:
    lines: list[str] = []
    watched = supervisor(tmp_path, lines)
    watched.start([plan(SLEEPER), plan(SLEEPER, "scoring")])
    first = watched.pid("scoring")
    watched.hold("scoring")
    watched.kill("loyalty")
    assert wait_for(lambda: watched.restarts("loyalty") == 1, 10)
    assert watched.pid("scoring") is None
    watched.release("scoring")
    assert watched.pid("scoring") not in {None, first}
    watched.drain()
    assert not any("scoring" in line for line in lines)


def test_draining_ends_everything_also_the_frozen_and_the_deaf(tmp_path: Path) -> None:
    lines: list[str] = []
    watched = supervisor(tmp_path, lines, SETTINGS.model_copy(update={"service_drain_seconds": 1}))
    watched.start([plan(SLEEPER), plan(SLEEPER, "frozen"), plan(STUBBORN, "deaf")])
    assert wait_for(lambda: "deaf" in (tmp_path / "deaf.log").read_text(), 10)
    watched.freeze("frozen")
    pids = [watched.pid(name) for name in ("loyalty", "frozen", "deaf")]
    watched.drain()
    assert not any(psutil.pid_exists(pid) for pid in pids if pid)
    assert lines == ["deaf did not drain within 1 s and was killed."]
