"""The machine and the versions that figures come from."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

from stack.jars import KAFKA_VERSION
from stack.postgres import MAJOR_VERSION

PACKAGES = (
    "aiokafka", "asyncpg", "fastapi", "numpy", "pydantic", "quixstreams", "sqlalchemy", "uvicorn",
    "uvloop",
)  # fmt: skip
_GIBIBYTE = 1024**3
_ROOT = Path(__file__).parents[1]
# What decides the figures. The results themselves change while they are made.
_CODE = ("services", "shared", "stack", "bench", "requirements.lock")
_RESULTS = (":!bench/results.json", ":!bench/*.md")


def describe_machine() -> dict[str, str]:
    """Processor, cores, memory, kernel, Python, and the versions of what is measured."""
    load = os.getloadavg()
    return {
        "tenure": describe_commit(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / _GIBIBYTE:.0f} GiB",
        "kernel": platform.release(),
        "load before": f"{load[0]:.2f} {load[1]:.2f} {load[2]:.2f}",
        "python": platform.python_version(),
        "kafka": KAFKA_VERSION,
        "postgresql": str(MAJOR_VERSION),
        **{name: version(name) for name in PACKAGES},
    }


def describe_commit(root: Path = _ROOT) -> str:
    """The commit that is checked out, « modified » where the code differs from it."""
    found = _git(root, "describe", "--always", "--tags", "--abbrev=12")
    if found is None:
        return "not a git checkout"
    changes = _git(root, "status", "--porcelain", "--", *_CODE, *_RESULTS)
    return f"{found} (modified)" if changes else found


def _git(root: Path, *arguments: str) -> str | None:
    """What git says, or None when it cannot tell."""
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(  # noqa: S603 — constant commands
            command, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _processor() -> str:
    """The model's name; its numbers where a virtual machine hides the name."""
    found: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    details = f"family {found.get('cpu family', '?')} model {found.get('model', '?')}"
    return f"{found.get('model name', platform.machine())} ({details})"
