"""The real command: what it says when something is missing is one line, never a traceback."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.ports import free_base

TENURE = (sys.executable, "-m", "stack.cli")
COMMAND_SECONDS = 120


def tenure(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TENURE_")}
    return subprocess.run(
        [*TENURE, *arguments],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_SECONDS,
    )


@pytest.fixture
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="tenure-test-") as path:
        yield path


def assert_one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("tenure: ")
    assert "Traceback" not in done.stderr + done.stdout
    return last


def test_help_lists_the_documented_commands() -> None:
    done = tenure("--help")
    assert done.returncode == 0
    for command in (
        "up",
        "serve",
        "migrate",
        "keys",
        "dead-letters",
        "events",
        "doctor",
        "demo",
        "replay",
    ):
        assert command in done.stdout


def test_up_names_the_port_in_use_and_its_holder(folder: str) -> None:
    base = free_base()
    with socket.create_server(("127.0.0.1", base + 1)):
        line = assert_one_line(tenure("up", "--data-dir", folder, "--port-base", str(base)))
    assert f"Port {base + 1}, wanted for ingest, is in use by" in line
    assert f"(process {os.getpid()})" in line
    assert "--port-base" in line


def test_up_refuses_a_data_dir_of_another_version(folder: str) -> None:
    Path(folder, "version.json").write_text('{"format": 99}')
    line = assert_one_line(tenure("up", "--data-dir", folder, "--port-base", str(free_base())))
    assert "format 99" in line


def test_up_says_that_the_disk_is_full(folder: str) -> None:
    done = tenure("up", "--data-dir", folder, TENURE_DISK_FREE_MB_MIN=str(10**9))
    assert "is full" in assert_one_line(done)


def test_up_refuses_docker_where_no_engine_answers(folder: str) -> None:
    arguments = ("up", "--data-dir", folder, "--backing", "docker", "--port-base")
    done = tenure(*arguments, str(free_base()), DOCKER_HOST=f"unix://{folder}/nobody.sock")
    assert "No Docker engine answers" in assert_one_line(done)


def test_an_address_where_nobody_answers_is_said(folder: str) -> None:
    nobody = f"127.0.0.1:{free_base()}"
    done = tenure(
        "up", "--data-dir", folder, "--port-base", str(free_base()),
        TENURE_DATABASE_URL=f"postgresql://tenure@{nobody}/tenure", TENURE_KAFKA=nobody,
    )  # fmt: skip
    line = assert_one_line(done)
    assert f"Topics at {nobody}: Kafka does not answer" in line


@pytest.mark.parametrize(
    "command",
    [
        ("migrate",),
        ("keys", "create", "--scope", "read"),
        ("dead-letters", "list", "--service", "loyalty"),
        ("dead-letters", "replay", "--service", "loyalty"),
    ],
)
def test_commands_without_a_stack_say_how_to_get_one(command: tuple[str, ...], folder: str) -> None:
    line = assert_one_line(tenure(*command, "--data-dir", folder))
    assert "`tenure up`" in line


def test_an_unknown_service_is_answered_with_the_known_ones(folder: str) -> None:
    line = assert_one_line(tenure("dead-letters", "list", "--service", "x", "--data-dir", folder))
    assert "loyalty" in line


def test_the_doctor_finds_everything_here_and_says_what_is_missing(folder: str) -> None:
    base = free_base()
    fine = tenure("doctor", "--data-dir", folder, "--port-base", str(base))
    assert fine.returncode == 0, fine.stdout
    for part in ("Python", "Java runtime", "Kafka's jars", "PostgreSQL", "Ports", "Disk"):
        assert part in fine.stdout
    empty = tenure("doctor", "--data-dir", folder, "--port-base", str(base), M2_REPO=folder)
    assert empty.returncode == 1
    assert "missing" in empty.stdout
    assert "stack.jars fetch" in empty.stdout


def test_a_disk_that_fills_up_meanwhile_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*TENURE, "events", "--schema", "points.awarded"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=COMMAND_SECONDS,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "tenure: The disk is full (while writing). Free some space.\n"


def test_the_schema_of_an_event_can_be_printed() -> None:
    schema = json.loads(tenure("events", "--schema", "points.awarded").stdout)
    assert schema["title"] == "PointsAwarded"


def test_a_signal_during_the_start_drains_and_exits_zero(folder: str) -> None:
    starting = subprocess.Popen(
        [*TENURE, "up", "--data-dir", folder, "--port-base", str(free_base())],
        stderr=subprocess.PIPE,
        text=True,
    )
    with starting:
        assert starting.stderr is not None
        assert "PostgreSQL and Kafka" in starting.stderr.readline()
        starting.send_signal(signal.SIGTERM)
        rest = starting.stderr.read()
    assert starting.returncode == 0, rest
    assert "drained" in rest


def test_a_key_without_a_database_is_one_line(folder: str) -> None:
    nowhere = "postgresql://tenure:x@127.0.0.1:1/tenure"
    line = assert_one_line(
        tenure(
            "keys", "create", "--scope", "read", "--data-dir", folder,
            TENURE_DATABASE_URL=nowhere, TENURE_KAFKA="127.0.0.1:1",
        )
    )  # fmt: skip
    assert "could not be stored" in line


def test_a_note_of_addresses_that_is_broken_is_one_line(folder: str) -> None:
    (Path(folder) / "addresses.json").write_text("{broken")
    line = assert_one_line(
        tenure("dead-letters", "list", "--service", "loyalty", "--data-dir", folder)
    )
    assert "addresses.json cannot be read" in line


def test_a_setting_that_is_not_valid_is_named_in_one_line(folder: str) -> None:
    line = assert_one_line(tenure("doctor", "--data-dir", folder, TENURE_DISK_FREE_MB_MIN="much"))
    assert "disk_free_mb_min" in line.lower()
