"""Signals that end a stack as one exception, raised once; a drain that has begun is not
interrupted, and neither is the moment between a process's birth and our knowing of it."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopAsked(BaseException):
    """Somebody wants the platform to end in good order."""


class _Stop:
    """Whether somebody asked, and whether the main thread can be interrupted now."""

    def __init__(self) -> None:
        self.asked = False
        self.waiting: StopAsked | None = None
        self.holds = 0

    def ask(self, number: int, _frame: FrameType | None) -> None:
        if self.asked:
            return
        self.asked = True
        stop = StopAsked(signal.Signals(number).name)
        if self.holds:
            self.waiting = stop
            return
        raise stop

    def let_go(self) -> None:
        self.holds -= 1
        if self.holds == 0 and self.waiting is not None:
            stop, self.waiting = self.waiting, None
            raise stop


_stop = _Stop()


@contextlib.contextmanager
def stop_signals() -> Iterator[None]:
    """Within: the first signal raises `StopAsked` in the main thread, later ones are ignored.

    Draining is bounded by its own limits, so an impatient second Ctrl-C gains nothing and would
    leave the backing without its orderly end. Who started us with `nohup` wants no SIGHUP.
    """
    _stop.asked, _stop.waiting = False, None
    before = {
        number: signal.signal(number, _stop.ask)
        for number in ENDING
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Within: a signal waits until the end.

    A process that was forked while a signal broke off its starter would be known to nobody. The
    signal is held here and not by the kernel's mask, which the new process would inherit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python runs handlers in the main thread only.
        return
    _stop.holds += 1
    try:
        yield
    finally:
        _stop.let_go()
