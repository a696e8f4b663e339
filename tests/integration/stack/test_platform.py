"""The platform's order of things, on the real pair and with a small program for each service."""

import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import asyncpg
import psutil
import pytest

from stack.errors import StackError
from stack.platform import Platform, PlatformOptions, running_platform
from stack.ports import Ports, free_base, is_free
from stack.processes import ProcessPlan
from stack.pulse import readiness
from stack.waiting import wait_for

# Answers /readyz.
PROGRAM = """
import http.server, sys
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answers).serve_forever()
"""


def program(name: str, port: int) -> ProcessPlan:
    command = (sys.executable, "-c", PROGRAM, str(port))
    return ProcessPlan(name, name, ("api",), port, other_command=command)


def no_keys(environment: Mapping[str, str], data_dir: Path, _report: object) -> dict[str, str]:
    (data_dir / "prepared.json").write_text(json.dumps(dict(environment)))
    return {"admin": "a", "ingest": "i", "read": "r"}


def options_of(folder: Path, lines: list[str], clock: str = "wall") -> PlatformOptions:
    base = free_base()
    services = [program(name, port) for name, port in Ports.of(base).services.items()]
    return PlatformOptions(
        data_dir=folder,
        port_base=base,
        clock="event" if clock == "event" else "wall",
        processes=services,
        report=lines.append,
        prepare=no_keys,
    )


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tenure-test-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def ready(platform: Platform) -> bool:
    return all(readiness(plan.url) == "ready" for plan in platform.supervisor.plans)


async def one(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT 1"))
    finally:
        await connection.close()


async def test_everything_is_up_inside_and_gone_after(folder: Path) -> None:
    options = options_of(folder, [], clock="event")
    with running_platform(options) as platform:
        assert ready(platform)
        assert await one(platform.database_url) == 1
        given = json.loads((folder / "prepared.json").read_text())
        assert given["TENURE_CLOCK"] == "event"
        assert given["TENURE_DATABASE_URL"] == platform.database_url
        assert given["TENURE_KAFKA"] == platform.bootstrap
        pids = [platform.supervisor.pid(plan.name) for plan in platform.supervisor.plans]
        pids += [platform.postgres.pid, platform.kafka.pid]
    assert not any(psutil.pid_exists(pid) for pid in pids if pid)
    assert all(map(is_free, Ports.of(options.port_base).named().values()))


async def test_pieces_and_processes_are_killed_and_started_singly(folder: Path) -> None:
    lines: list[str] = []
    with running_platform(options_of(folder, lines)) as platform:
        lines.clear()
        platform.kill("kafka")
        platform.stop("postgres")
        platform.kill("loyalty")
        assert wait_for(lambda: ready(platform), 10)
        assert platform.kafka.pid is None
        assert platform.postgres.pid is None
        platform.start("postgres")
        platform.start("kafka")
        assert await one(platform.database_url) == 1
    assert len(lines) == 1
    assert lines[0].startswith("loyalty ended with signal SIGKILL")


async def test_a_piece_that_died_by_itself_is_said_and_brought_back_whatever_is_in_the_way(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENURE_SERVICE_RESTART_SECONDS_MAX", "0.2")
    lines: list[str] = []
    with running_platform(options_of(folder, lines)) as platform:
        first = platform.kafka.pid
        assert first is not None
        log_path = folder / "logs" / "kafka.log"
        log_path.rename(folder / "logs" / "kafka.before")
        log_path.mkdir()
        os.kill(first, signal.SIGKILL)
        assert wait_for(lambda: any("kafka does not start" in line for line in lines), 30)
        log_path.rmdir()
        assert wait_for(lambda: platform.kafka.pid not in {None, first}, 30)
    assert "kafka ended with signal SIGKILL; starting it again" in lines


def test_two_platforms_run_side_by_side_and_a_third_on_the_same_data_is_refused(
    folder: Path,
) -> None:
    first, second = options_of(folder / "one", []), options_of(folder / "two", [])
    third = options_of(folder / "one", [])
    with running_platform(first) as one_platform, running_platform(second) as two_platform:
        assert one_platform.database_url != two_platform.database_url
        with pytest.raises(StackError, match="in use by another stack"), running_platform(third):
            pass


def test_a_service_that_never_gets_ready_is_named_and_everything_is_taken_down(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENURE_SERVICE_READY_SECONDS", "1")
    options = options_of(folder, [])
    silent = ProcessPlan(
        "scoring", "scoring", ("api",), free_base(),
        other_command=(sys.executable, "-c", "import signal; signal.pause()"),
    )  # fmt: skip
    stuck = PlatformOptions(
        data_dir=folder, port_base=options.port_base, processes=[silent], prepare=no_keys
    )
    with pytest.raises(StackError, match="scoring not ready after 1 s"), running_platform(stuck):
        pass
    assert all(map(is_free, Ports.of(options.port_base).named().values()))
