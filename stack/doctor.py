"""`tenure doctor`: what a start needs, what of it is there, and how to get the rest."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from stack import jars
from stack.backing import MEGABYTE, docker_answers
from stack.errors import StackError
from stack.kafka import java
from stack.ports import Ports, holder, is_free
from stack.postgres import binaries
from stack.settings import StackSettings

PYTHON_MIN = (3, 11)
MEMORY_MB_MIN = 2048


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table; `needed` and not `fine` means a start would fail."""

    part: str
    fine: bool
    found: str
    remedy: str = ""
    needed: bool = True


def examine(data_dir: Path, port_base: int | None, settings: StackSettings) -> list[Finding]:
    """Everything, in the order of a start."""
    return [
        _python(),
        _located("Java runtime", java),
        _jars(),
        _located("PostgreSQL", binaries),
        *_ports(Ports.of(port_base), settings),
        _disk(data_dir, settings),
        _memory(),
        _docker(settings),
    ]


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    wanted = ".".join(map(str, PYTHON_MIN))
    return Finding("Python", sys.version_info >= PYTHON_MIN, found, f"Install Python {wanted}.")


def _located(part: str, locate: Callable[[], Path]) -> Finding:
    try:
        return Finding(part, True, str(locate()))
    except StackError as error:
        return Finding(part, False, error.message, error.remedy)


def _jars() -> Finding:
    locked = jars.locked()
    unsound = [jar.coordinate for jar in locked if not jars.is_sound(jar)]
    if unsound:
        found = f"{len(unsound)} of {len(locked)} missing or changed, first {unsound[0]}"
        remedy = "Run `python -m stack.jars fetch` with a network."
        return Finding("Kafka's jars", False, found, remedy)
    return Finding(
        "Kafka's jars", True, f"{len(locked)} of Kafka {jars.KAFKA_VERSION}, hashes match"
    )


def _ports(ports: Ports, settings: StackSettings) -> Iterator[Finding]:
    given = {"PostgreSQL": settings.database_url, "Kafka": settings.kafka}
    taken = []
    for purpose, port in ports.named().items():
        if not given.get(purpose) and not is_free(port):
            taken.append(f"{port} ({purpose}) by {holder(port) or 'an unknown process'}")
    numbers = sorted(ports.named().values())
    if taken:
        remedy = "Stop that, or choose other ports with --port-base."
        yield Finding("Ports", False, "in use: " + ", ".join(taken), remedy)
    else:
        yield Finding("Ports", True, "free: " + ", ".join(map(str, numbers)))
    for purpose, address in given.items():
        if address:
            yield Finding(f"{purpose}'s address", True, "given by the environment", needed=False)


def _disk(data_dir: Path, settings: StackSettings) -> Finding:
    there = next(path for path in (data_dir, *data_dir.resolve().parents) if path.exists())
    free_mb = psutil.disk_usage(str(there)).free // MEGABYTE
    wanted = settings.disk_free_mb_min
    remedy = "Free some space, or choose another place with --data-dir."
    return Finding("Disk", free_mb >= wanted, f"{free_mb:,} MB free, {wanted} MB needed", remedy)


def _memory() -> Finding:
    free_mb = psutil.virtual_memory().available // MEGABYTE
    found = f"{free_mb:,} MB available, {MEMORY_MB_MIN:,} MB recommended"
    return Finding("Memory", free_mb >= MEMORY_MB_MIN, found, "Close some programs.", needed=False)


def _docker(settings: StackSettings) -> Finding:
    answers = docker_answers(settings)
    found = "an engine answers" if answers else "no engine answers; the embedded pair is used"
    return Finding("Docker", answers, found, "Only --backing docker needs it.", needed=False)
