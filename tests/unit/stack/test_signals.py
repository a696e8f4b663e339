"""Ending signals: raised once, held while a process is born, and nobody is orphaned by them."""

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from stack.processes import ProcessPlan, Supervisor
from stack.settings import StackSettings
from stack.signals import ENDING, StopAsked, stop_signals, uninterrupted

SLEEPER = (sys.executable, "-S", "-c", "import signal; signal.pause()")
ROUNDS = 12
PROCESSES = 25


@pytest.mark.parametrize("number", ENDING)
def test_the_first_signal_asks_and_later_ones_are_ignored(number: signal.Signals) -> None:
    with stop_signals():
        with pytest.raises(StopAsked, match=number.name):
            signal.raise_signal(number)
        signal.raise_signal(number)


def test_a_signal_waits_until_it_may_interrupt() -> None:
    reached = []
    with stop_signals():
        with pytest.raises(StopAsked), uninterrupted():
            reached.append(nested())
        assert reached == ["went on"]


def nested() -> str:
    with uninterrupted():
        signal.raise_signal(signal.SIGTERM)
    return "went on"


def test_who_started_us_with_nohup_gets_no_hangup() -> None:
    program = (
        "import signal\n"
        "from stack.signals import stop_signals\n"
        "with stop_signals(): signal.raise_signal(signal.SIGHUP)\n"
        "print('still here')"
    )
    done = subprocess.run(
        ["nohup", sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "still here" in done.stdout, done.stderr


def test_a_signal_at_any_moment_of_a_start_leaves_no_process_behind(tmp_path: Path) -> None:
    before = set(psutil.Process().children())
    chance = random.Random(7)
    plans = [
        ProcessPlan(f"p{n}", "loyalty", ("api",), 1, other_command=SLEEPER)
        for n in range(PROCESSES)
    ]
    for _ in range(ROUNDS):
        supervisor = Supervisor(tmp_path, {}, StackSettings(), lambda _line: None)
        with stop_signals():
            seconds = 0.001 + chance.random() * 0.04
            person = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))
            person.start()
            with pytest.raises(StopAsked):
                start_for_ever(supervisor, plans)
            person.join()
        supervisor.drain()
    left = [one for one in psutil.Process().children() if one not in before]
    assert [one for one in left if "warden.py" not in " ".join(one.cmdline())] == []


def start_for_ever(supervisor: Supervisor, plans: list[ProcessPlan]) -> None:
    for plan in plans:
        supervisor.start([plan])
    signal.pause()
