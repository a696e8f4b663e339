"""The machine and the versions that figures come from."""

import os
import platform
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


def describe_machine() -> dict[str, str]:
    """Processor, cores, memory, kernel, Python, and the versions of what is measured."""
    load = os.getloadavg()
    return {
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


def _processor() -> str:
    """The model's name; its numbers where a virtual machine hides the name."""
    found: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    details = f"family {found.get('cpu family', '?')} model {found.get('model', '?')}"
    return f"{found.get('model name', platform.machine())} ({details})"
