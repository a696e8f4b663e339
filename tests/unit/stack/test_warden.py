"""The warden ends all that is left, whatever state the first one is in."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from stack.child import WARDEN_PATH
from stack.waiting import wait_for

# Its leader ends at once and leaves one of its group behind, deaf to everything but SIGKILL.
LEADERLESS = """
import os, signal
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True: signal.pause()
"""
SLEEPER = "import signal; signal.pause()"


def started(program: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", program], start_new_session=True)


def is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture
def groups() -> Iterator[list[int]]:
    made: list[int] = []
    yield made
    for group in made:
        if not is_gone(group):
            os.killpg(group, signal.SIGKILL)


def test_a_group_without_its_leader_does_not_save_the_others(groups: list[int]) -> None:
    first, second = started(LEADERLESS), started(SLEEPER)
    groups += [first.pid, second.pid]
    first.wait()
    assert not is_gone(first.pid)
    warden = subprocess.Popen(
        [sys.executable, "-I", "-S", WARDEN_PATH], stdin=subprocess.PIPE, text=True
    )
    number = int(signal.SIGTERM)
    warden.communicate(f"+{first.pid} {number}\n+{second.pid} {number}\n", timeout=30)
    assert warden.returncode == 0
    assert second.wait(10) == -signal.SIGTERM
    assert wait_for(lambda: is_gone(first.pid), 10)
