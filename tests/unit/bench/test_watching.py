"""Counts cross processes; a floor that died is said at once instead of waited for."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.counter import Counter
from bench.processor import Usage
from bench.sections.memory import Held
from bench.trips import Trips
from bench.watching import Counted, Window, until
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


def test_the_slope_is_of_the_later_part_and_per_million_events() -> None:
    warming = [(number * 10_000, 50.0 + number * 10) for number in range(4)]
    steady = [(number * 10_000, 90.0 + number * 0.02) for number in range(4, 10)]

    assert Held([*warming, *steady]).slope() == pytest.approx(2.0)
