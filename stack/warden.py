"""Ends what a launcher started when the launcher itself is gone, however it went.

A process of its own that reads lines from a pipe only the launcher holds: `+<pid> <signal>` for a
child to watch, `-<pid>` for one that has ended. When the pipe closes (exit, crash or SIGKILL of the
launcher alike) the rest get their signal, and after a grace period SIGKILL for their whole group.
The kernel's parent-death signal would not do: it fires when the starting *thread* ends, and exists
on Linux only. Runs on the standard library alone (`python -I -S`), so it starts in milliseconds.
"""

import contextlib
import os
import signal
import sys
import time

GRACE_SECONDS = 5.0
POLL_SECONDS = 0.05


def watch() -> dict[int, int]:
    """Follow the pipe until it closes; what is left is still running."""
    watched: dict[int, int] = {}
    for line in sys.stdin:
        if line.startswith("+"):
            pid, number = line[1:].split()
            watched[int(pid)] = int(number)
        else:
            watched.pop(int(line[1:]), None)
    return watched


def is_alive(pid: int) -> bool:
    """Whether any process of the group is left; every child is the leader of a group."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def end(watched: dict[int, int]) -> None:
    """Ask each in its own way, then insist."""
    for pid, number in watched.items():
        # Each for itself: one that is gone, or is not ours any more, must not spare the others.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if is_alive(pid):
                os.kill(pid, number)
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and any(map(is_alive, watched)):
        time.sleep(POLL_SECONDS)
    for pid in watched:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    end(watch())
