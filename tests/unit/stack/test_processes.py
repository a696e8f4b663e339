"""The supervisor, on small real processes."""

import shutil
import sys
from pathlib import Path

import psutil

from stack.ports import Ports, free_base
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
# Serves for a while and then says that it stands still, as a service does.
STALLING = """
import http.server, json, sys
class Answers(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Answers.asked += 1
        stalled = Answers.asked > 2
        self.send_response(503 if stalled else 200)
        self.end_headers()
        reason = "no progress on ingest.events/3" if stalled else None
        self.wfile.write(json.dumps({"status": "stalled", "reason": reason}).encode())
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answers).serve_forever()
"""
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


def test_a_process_that_says_it_stands_still_is_started_again_and_told_once(
    tmp_path: Path,
) -> None:
    lines: list[str] = []
    port = free_base(1)
    hung = (sys.executable, "-c", STALLING, str(port))
    settings = SETTINGS.model_copy(update={"service_pulse_seconds": 0.05})
    watched = supervisor(tmp_path, lines, settings)
    watched.start([ProcessPlan("loyalty", "loyalty", ("api",), port, other_command=hung)])
    assert wait_for(lambda: watched.restarts("loyalty") >= 1, 20)
    told = list(lines)
    watched.drain()
    expected = "loyalty stands still (no progress on ingest.events/3); starting it again"
    assert told == [expected]


def test_a_process_that_answers_nothing_is_started_again_unless_it_was_frozen_on_purpose(
    tmp_path: Path,
) -> None:
    lines: list[str] = []
    settings = SETTINGS.model_copy(
        update={"service_pulse_seconds": 0.05, "service_silent_seconds_max": 0.5}
    )
    watched = supervisor(tmp_path, lines, settings)
    watched.start([plan(SLEEPER), plan(SLEEPER, "frozen")])
    watched.freeze("frozen")
    assert wait_for(lambda: watched.restarts("loyalty") >= 2, 20)
    assert watched.restarts("frozen") == 0
    watched.drain()
    assert "loyalty stands still (it has not answered for" in lines[0]


def test_a_start_that_the_system_refuses_is_said_and_tried_again(tmp_path: Path) -> None:
    lines: list[str] = []
    program = tmp_path / "program"
    program.symlink_to(shutil.which("sleep") or "")
    waits = (str(program), "600")
    watched = supervisor(tmp_path / "logs", lines)
    watched.start([plan(waits), plan(SLEEPER, "scoring")])
    program.unlink()
    watched.kill("loyalty")
    assert wait_for(lambda: any("loyalty cannot start" in line for line in lines), 10)
    watched.kill("scoring")
    assert wait_for(lambda: watched.restarts("scoring") == 1, 10)
    program.symlink_to(shutil.which("sleep") or "")
    assert wait_for(lambda: watched.pid("loyalty") is not None, 10)
    watched.drain()
