"""Processor time of the processes under test, from the kernel's own counters.

User plus system time, in steps of the kernel's clock tick (10 ms), so what is compared should burn
seconds. A server that forks for its clients, as PostgreSQL does, is counted as a whole: itself, its
living children, and what it inherited from those that have ended.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_ATTEMPTS_MAX = 100
# Fields of /proc/<pid>/stat behind the name: proc_pid_stat(5), numbered from `state`.
_PARENT, _USER, _SYSTEM, _CHILDREN_USER, _CHILDREN_SYSTEM = 1, 11, 12, 13, 14


class _Stat(NamedTuple):
    parent: int
    own: int
    reaped: int


@dataclass(frozen=True, slots=True)
class Group:
    """Processes whose time counts under one name; with `tree`, their children count too."""

    name: str
    pid: int
    tree: bool = False

    def seconds(self) -> float:
        """Processor seconds since the process started."""
        if not self.tree:
            return _read(self.pid).own / _TICKS_A_SECOND
        return _whole(self.pid) / _TICKS_A_SECOND


class Usage(dict[str, float]):
    """Processor seconds by name of group."""

    @property
    def total(self) -> float:
        return sum(self.values())


class Meter:
    """Reads all groups at once; `since` tells what was used after a reading."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups = tuple(groups)

    def read(self) -> Usage:
        return Usage({group.name: group.seconds() for group in self._groups})

    def since(self, before: Usage) -> Usage:
        return Usage({name: now - before[name] for name, now in self.read().items()})


def _whole(pid: int) -> int:
    """A child that ends while it is being read would count twice or not at all: then once more."""
    for _ in range(_ATTEMPTS_MAX):
        before = _read(pid)
        living = [stat.own + stat.reaped for stat in _children(pid)]
        after = _read(pid)
        if before.reaped == after.reaped:
            return after.own + after.reaped + sum(living)
    raise RuntimeError(f"the children of process {pid} come and go too fast to be counted")


def _children(pid: int) -> list[_Stat]:
    """Direct children, found by their parent; a server's processes have none of their own."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            stat = _read(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended; if it was a child, its parent's counters will have moved
        if stat.parent == pid:
            found.append(stat)
    return found


def _read(pid: int) -> _Stat:
    """The counters of a process, in ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return _Stat(
        parent=int(fields[_PARENT]),
        own=int(fields[_USER]) + int(fields[_SYSTEM]),
        reaped=int(fields[_CHILDREN_USER]) + int(fields[_CHILDREN_SYSTEM]),
    )
