"""Counts cross processes; a floor that died is said at once instead of waited for."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.counter import Counter
from bench.processor import Group, Meter, Usage
from bench.trips import Item, Trips, travel
from bench.watching import Counted, Window, until, window
from stack.child import Child


def test_a_counter_is_seen_by_another_process(tmp_path: Path) -> None:
    counter = Counter(tmp_path / "count")
    script = f"""
from pathlib import Path
from bench.counter import Counter
counter = Counter(Path({str(tmp_path / "count")!r}))
for _ in range(7):
    counter.add()
"""
    subprocess.run([sys.executable, "-c", script], check=True)

    assert counter.value == 7


async def test_a_floor_that_ended_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    child = Child(
        "floor", [sys.executable, "-c", "raise ValueError('no luck')"], log_path=tmp_path / "log"
    )
    child.wait(30.0)

    with pytest.raises(RuntimeError, match="floor ended: ValueError: no luck"):
        await until(Counted(Counter(tmp_path / "count"), child), 1, seconds=30.0)


def test_a_window_tells_cost_and_rate() -> None:
    window = Window(1_000, 0.5, Usage(worker=0.06, kafka=0.02))

    assert window.cost == pytest.approx(80.0)
    assert window.cost_of("worker") == pytest.approx(60.0)
    assert window.rate == 2_000


def test_a_trip_counts_from_when_it_was_due_to_its_first_sight() -> None:
    trips = Trips()
    for number in range(3):
        trips.leave(f"t-{number}", 100.0 + number)
    for number, at in enumerate((100.25, 101.25, 102.25)):
        trips.saw(f"t-{number}")
        trips.seen[f"t-{number}"] = at
    trips.saw("somebody else's")

    assert trips.percentile(50) == pytest.approx(250.0)
    assert not trips.all_seen.is_set()
    trips.complete()
    assert trips.all_seen.is_set()


class AtOnce:
    """All events applied, nothing left."""

    async def applied(self) -> int:
        return 10

    async def settled(self) -> bool:
        return True


async def test_what_is_done_afterwards_counts_as_processor_time_but_not_in_the_rate() -> None:
    async def burn() -> None:
        until_seconds = time.process_time() + 0.2
        while time.process_time() < until_seconds:
            await asyncio.sleep(0)

    meter = Meter([Group("self", os.getpid())])
    found = await window(AtOnce(), meter, warm=1, end=10, seconds=30.0, afterwards=burn)

    assert found.usage["self"] >= 0.18
    assert found.seconds < 0.18


async def test_only_what_is_timed_is_waited_for_but_all_is_sent() -> None:
    trips = Trips()
    sent: list[str] = []

    async def send(name: str, _value: bytes) -> None:
        sent.append(name)
        if name == "order":
            trips.saw(name)

    items = [Item("view", b"", is_timed=False), Item("order", b""), Item("mail", b"", False)]
    await travel(trips, items, 1_000, send)

    assert sent == ["view", "order", "mail"]
    assert trips.seen.keys() == {"order"}
