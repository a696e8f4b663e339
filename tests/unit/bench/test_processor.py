"""Processor time is the kernel's, and includes children that have ended."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bench.processor import Group, Meter

BURN = "import time\nwhile time.process_time() < {seconds}: pass\n"
# Burns by itself, in a child that ends, and in one that stays; then waits to be ended.
SERVER = f"""
import subprocess, sys
burn = {BURN!r}
exec(burn.format(seconds=0.1))
subprocess.run([sys.executable, "-c", burn.format(seconds=0.3)], check=True)
stays = "import sys\\n" + burn.format(seconds=0.2) + "print('done', flush=True)\\nsys.stdin.read()"
both = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child = subprocess.Popen([sys.executable, "-c", stays], **both)
child.stdout.readline()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def server() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        yield process
        process.communicate()


def test_a_tree_counts_itself_its_children_and_those_that_ended(
    server: subprocess.Popen[str],
) -> None:
    alone = Group("server", server.pid).seconds()
    whole = Group("server", server.pid, tree=True).seconds()

    assert alone >= 0.08
    assert whole - alone >= 0.45


def test_a_meter_tells_what_was_used_since_a_reading() -> None:
    meter = Meter([Group("self", os.getpid())])
    before = meter.read()
    exec(BURN.format(seconds=before["self"] + 0.1))  # noqa: S102 — work that takes known time

    used = meter.since(before)

    assert used["self"] >= 0.08
    assert used.total == used["self"]


def test_a_process_that_ended_cannot_be_read() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()

    with pytest.raises(FileNotFoundError):
        Meter([Group("gone", process.pid)]).read()
