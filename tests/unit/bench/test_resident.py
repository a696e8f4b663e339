"""Slopes leave out the warming, say how sure they are, and peaks are seen between readings."""

import os
import subprocess
import sys
import time

import pytest

from bench.resident import Held, megabytes_of, sampled
from bench.whole import disturbances

MEGABYTE = 1_048_576
# Says when it holds as much as it is told to, then waits to be ended.
HOLDER = """
import sys
for line in sys.stdin:
    held = bytearray(b"x") * int(line)
    print("done", flush=True)
"""
CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"


def hold(process: "subprocess.Popen[str]", size: int) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{size}\n")
    process.stdin.flush()
    assert process.stdout.readline().strip() == "done"


def python(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_the_slope_is_of_the_later_part_and_per_million_events() -> None:
    warming = [(number * 10_000, 50.0 + number * 10) for number in range(4)]
    steady = [(number * 10_000, 90.0 + number * 0.02) for number in range(4, 10)]

    assert Held([*warming, *steady]).slope() == pytest.approx(2.0)


def test_a_straight_line_is_sure_of_its_slope_and_a_jagged_one_is_not() -> None:
    straight = [(number * 10_000, 90.0 + number * 0.02) for number in range(10)]
    jagged = [(at, held + 5.0 * (number % 2)) for number, (at, held) in enumerate(straight)]

    assert Held(straight).slope_error() == pytest.approx(0.0, abs=1e-6)
    assert Held(jagged).slope_error() > 10
    assert Held(straight[:3]).slope_error() == float("inf")


def test_children_count_too() -> None:
    with python(CHILD, HOLDER) as process:
        hold(process, 1)
        before = megabytes_of(process.pid)
        hold(process, 40 * MEGABYTE)

        assert megabytes_of(process.pid) - before == pytest.approx(40, abs=5)
        process.communicate()


def test_a_peak_between_two_readings_is_seen() -> None:
    held: dict[str, Held] = {}
    with python(HOLDER) as process, sampled(held, lambda: {"it": process.pid, "gone": None}):
        hold(process, 60 * MEGABYTE)
        deadline = time.monotonic() + 30
        while "it" not in held or held["it"].peak < 60:
            assert time.monotonic() < deadline, held
        hold(process, 1)

        assert megabytes_of(process.pid) < 60 <= held["it"].peak
        assert "gone" not in held
        process.communicate()


def test_of_a_process_that_ended_nothing_is_held() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()

    assert megabytes_of(process.pid) == 0
    assert megabytes_of(os.getpid()) > 1


def test_whoever_is_another_process_now_spoils_the_run() -> None:
    before = {"loyalty": 10, "kafka": 11, "postgres": 12}

    assert disturbances(before, before) == ()
    assert disturbances(before, {"loyalty": 99, "kafka": 11, "postgres": None}) == (
        "loyalty ended or was started again",
        "postgres ended or was started again",
    )
