"""What processes hold: proportional memory, sampled all the time, and its slope over events."""

import contextlib
import statistics
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

SAMPLE_SECONDS = 2.0
# The later part of a run, by points.
WARM_SHARE = 0.4
_KILOBYTES = 1024
_MILLION = 1_000_000


@dataclass(slots=True)
class Held:
    """Megabytes that one process held: after so many events, and at most."""

    points: list[tuple[int, float]] = field(default_factory=list)
    peak: float = 0.0

    def slope(self) -> float:
        """Megabytes per million events, by least squares over the later part of the run."""
        events, megabytes = self._later()
        return statistics.linear_regression(events, megabytes).slope * _MILLION

    def slope_error(self) -> float:
        """Its standard error; infinite where two points leave nothing to tell it from."""
        events, megabytes = self._later()
        if len(events) < 3:
            return float("inf")
        line = statistics.linear_regression(events, megabytes)
        residuals = (
            (held - line.slope * at - line.intercept) ** 2
            for at, held in zip(events, megabytes, strict=True)
        )
        spread = statistics.pvariance(events) * len(events)
        return float((sum(residuals) / (len(events) - 2) / spread) ** 0.5 * _MILLION)

    def _later(self) -> tuple[list[int], list[float]]:
        later = self.points[int(len(self.points) * WARM_SHARE) :]
        return [at for at, _ in later], [held for _, held in later]


def megabytes_of(pid: int) -> float:
    """A process and its children; pages they share count once. Nothing of what has just ended."""
    held = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
                held += _proportional_kilobytes(one.pid)
    return held / _KILOBYTES


def _proportional_kilobytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "Pss":
            return int(value.split()[0])
    return 0


@contextlib.contextmanager
def sampled(held: dict[str, Held], pids: Callable[[], Mapping[str, int | None]]) -> Iterator[None]:
    """Raises the peaks of all processes, every two seconds, until the context is left."""
    over = threading.Event()

    def sample() -> None:
        while not over.wait(SAMPLE_SECONDS):
            for name, pid in pids().items():
                if pid is not None:
                    one = held.setdefault(name, Held())
                    one.peak = max(one.peak, megabytes_of(pid))

    sampler = threading.Thread(target=sample, name="sample-memory", daemon=True)
    sampler.start()
    try:
        yield
    finally:
        over.set()
        sampler.join()
