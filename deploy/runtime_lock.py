"""Prints the part of requirements.lock that the services need at run time, hashes included.

python deploy/runtime_lock.py requirements.in requirements.lock [--without NAME,…] [--only NAME,…]

What is below « # --- run time » in requirements.in, and everything that it pulls in (the lock's
« # via » lines), is kept; the tools of development below the next heading are not. `--without`
leaves out parts that an image has no use for, with all that only they need.
"""

import argparse
import re
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

RUN_TIME = "# --- run time"
_NAME = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Pin:
    """One package of the lock: its lines, and who asked for it."""

    name: str
    text: str
    via: frozenset[str]


def normal(name: str) -> str:
    """A package's name as the lock writes it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted(requirements: str) -> set[str]:
    """The names below the heading of the run time."""
    section = requirements.split(RUN_TIME, 1)[1].split("# ---", 1)[0]
    lines = [line.strip() for line in section.splitlines()]
    return {
        normal(found.group())
        for line in lines
        if line and not line.startswith("#") and (found := _NAME.match(line))
    }


def pins(lock: str) -> list[Pin]:
    """The packages of a lock made by `uv pip compile --generate-hashes`."""
    return [_pin(part) for part in re.split(r"(?m)^(?=[A-Za-z0-9])", lock) if "==" in part]


def _pin(text: str) -> Pin:
    comments = re.findall(r"(?m)^ +# +(?:via )?([A-Za-z0-9._-]+)(?: .*)?$", text)
    return Pin(
        normal(text.split("==", 1)[0].split("[", maxsplit=1)[0]),
        text,
        frozenset(normal(name) for name in comments if name not in {"via", "-r"}),
    )


def closure(first: Collection[str], lock: Collection[Pin]) -> list[Pin]:
    """What is asked for by name or by something that is kept."""
    kept = set(first)
    while more := {pin.name for pin in lock if pin.via & kept} - kept:
        kept |= more
    return [pin for pin in lock if pin.name in kept]


def runtime(requirements: str, lock: str, without: Collection[str] = ()) -> list[Pin]:
    """The packages of the run time. A name that the lock lacks is a `ValueError`."""
    names = wanted(requirements) - set(without)
    known = pins(lock)
    missing = names - {pin.name for pin in known}
    if missing:
        raise ValueError(f"not in the lock: {', '.join(sorted(missing))}")
    # Left out by name also when something else asks for them.
    return [pin for pin in closure(names, known) if pin.name not in without]


def main() -> None:
    """Writes the lines of the chosen packages to standard output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("requirements", type=Path)
    parser.add_argument("lock", type=Path)
    parser.add_argument("--without", default="", help="names, separated by commas")
    parser.add_argument("--only", default="", help="just these, with nothing that they pull in")
    given = parser.parse_args()
    lock = given.lock.read_text()
    if given.only:
        chosen = [pin for pin in pins(lock) if pin.name in given.only.split(",")]
    else:
        chosen = runtime(given.requirements.read_text(), lock, given.without.split(","))
    sys.stdout.write("".join(pin.text for pin in chosen))


if __name__ == "__main__":
    main()
