"""Waiting on a condition with a deadline, for what tells nobody when it is done."""

import time
from collections.abc import Callable

POLL_SECONDS = 0.05


def wait_for(is_met: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition was met in time."""
    deadline = time.monotonic() + seconds
    while not is_met():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
