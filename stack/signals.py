"""SIGINT and SIGTERM as one exception, raised once; a drain that has begun is not interrupted."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class StopAsked(BaseException):
    """Somebody wants the platform to end in good order."""


@contextlib.contextmanager
def stop_signals() -> Iterator[None]:
    """Within: the first signal raises `StopAsked` in the main thread, later ones are ignored.

    Draining is bounded by its own limits, so an impatient second Ctrl-C gains nothing and would
    leave the backing without its orderly end.
    """
    asked = False

    def ask(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if not asked:
            asked = True
            raise StopAsked(signal.Signals(number).name)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
