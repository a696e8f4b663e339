"""The real `tenure demo`: it shows its summary, stays up, drains, and may be repeated."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from stack.demo.command import history_of
from stack.demo.online_retail import OnlineRetail
from stack.demo.simulator import SimulatedShop
from stack.ports import free_base

SECONDS_MAX = 240
ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("TENURE_DATA", ROOT.parent / "shared" / "data"))


class Demo:
    """A running command and what it has printed."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stack.cli", "demo", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "COLUMNS": "130"},
        )
        self.printed: list[str] = []
        self.over = False
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            for line in stdout:
                self._lines.put(line)
        self._lines.put(None)

    def until(self, wanted: str | None) -> str:
        """Everything printed up to a line with `wanted`, or to the end (None)."""
        deadline = time.monotonic() + SECONDS_MAX
        while not self.over:
            line = self._lines.get(timeout=max(0.1, deadline - time.monotonic()))
            self.over = line is None
            self.printed.append(line or "")
            if wanted is not None and wanted in self.printed[-1]:
                return "".join(self.printed)
        assert wanted is None, "".join(self.printed)
        return "".join(self.printed)


@contextmanager
def demo(*arguments: str) -> Iterator[Demo]:
    running = Demo(*arguments)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.send_signal(signal.SIGINT)
        running.until(None)
        running.process.wait(60)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_demo_ends_with_a_summary_stays_up_and_counts_nothing_twice(tmp_path: Path) -> None:
    base = free_base(8)
    arguments = [
        *("--limit", "40", "--customers", "40", "--seed", "3"),
        *("--data-dir", str(tmp_path / "data"), "--port-base", str(base)),
    ]
    with demo(*arguments) as first:
        summary = first.until("Ctrl-C drains")
        first.until("logs")
        assert orders(tmp_path / "data", base) in range(35, 41), "a cancelled one counts nowhere"
    assert first.process.returncode == 0
    assert "drained" in first.until(None)

    with demo(*arguments, "--exit") as again:
        repeated = again.until(None)
    assert again.process.returncode == 0
    assert "Tenure is ready" not in repeated
    assert "right" in line(summary, "books")
    for figure in ("known", "scored", "points awarded", "points reversed", "books", "converted"):
        assert line(repeated, figure) == line(summary, figure)
    assert line(summary, "signatures refused").split()[-1] == "0"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_real_log_goes_through_the_command_to_its_summary(tmp_path: Path) -> None:
    arguments = [
        *("--data", str(DATA), "--limit", "60", "--exit"),
        *("--data-dir", str(tmp_path / "data"), "--port-base", str(free_base(8))),
    ]
    with demo(*arguments) as run:
        summary = run.until(None)
    assert run.process.returncode == 0, summary
    assert line(summary, "of them orders").split()[-1] == "60"
    assert line(summary, "rejected").split()[-1] == "0"
    assert "right" in line(summary, "books")
    assert int(line(summary, "delivered and verified").split()[-1].replace(",", "")) >= 60
    assert "drained" in summary
    assert not (tmp_path / "data" / "addresses.json").exists()


def test_the_log_by_its_name_is_the_one_downloaded_before(tmp_path: Path) -> None:
    (tmp_path / "downloads").mkdir()
    log = next(DATA.glob("online_retail.parquet")) if DATA.is_dir() else DATA
    (tmp_path / "downloads" / "online_retail.parquet").symlink_to(log.resolve())
    history = history_of("online-retail", seed=1, customers=10, data_dir=tmp_path)
    assert isinstance(history, OnlineRetail)
    assert len(history.invoices) == 25_900
    simulated = history_of(None, seed=1, customers=10, data_dir=tmp_path)
    assert isinstance(simulated, SimulatedShop)


def line(summary: str, figure: str) -> str:
    """The one line of a summary with a figure, without its frame."""
    (found,) = [one for one in summary.splitlines() if one.lstrip("│ ").startswith(figure)]
    return found.strip("│ ")


def orders(data_dir: Path, base: int) -> int:
    """What the console would show, asked of a platform that stayed up."""
    key = json.loads((data_dir / "keys.json").read_text())["read"]
    answer = httpx.get(
        f"http://127.0.0.1:{base}/v1/metrics/overview",
        params={"from": "2024-12-25", "to": "2026-12-31"},
        headers={"Authorization": f"Bearer {key}"},
        trust_env=False,
    )
    return int(answer.raise_for_status().json()["commerce"]["orders"])


def test_a_wrong_path_is_one_line(tmp_path: Path) -> None:
    with demo("--data", str(tmp_path / "nowhere.parquet"), "--data-dir", str(tmp_path)) as wrong:
        said = wrong.until(None)
    assert wrong.process.returncode == 1
    assert "does not exist" in said
    assert "Traceback" not in said
