"""A bar in a terminal, a line now and then in a pipe."""

import io

from rich.console import Console

from stack.demo.display import Display


def shown(*, terminal: bool) -> str:
    """What stands there after 60 s of sending and settling, told every second."""
    out, now = io.StringIO(), [0.0]
    console = Console(file=out, width=120, force_terminal=terminal, color_system=None)
    with Display(console, lambda: now[0]) as display:
        for second in range(1, 41):
            now[0] = float(second)
            display.sent("01 Mar 2025", second / 40, 100 * second, 7)
        for second in range(41, 61):
            now[0] = float(second)
            display.settling("3 records to read")
    return out.getvalue()


def test_a_pipe_gets_a_line_every_ten_seconds() -> None:
    lines = shown(terminal=False).splitlines()
    assert lines[0] == "01 Mar 2025  25%  1,000 events  100/s  lag 7"
    assert len(lines) == 6
    assert lines[-1] == "settling  3 records to read"


def test_a_terminal_gets_a_bar_with_rate_lag_and_the_time_that_is_left() -> None:
    out, now = io.StringIO(), [0.0]
    console = Console(file=out, width=120, force_terminal=True, color_system=None)
    with Display(console, lambda: now[0]) as display:
        for second in range(1, 11):
            now[0] = float(second)
            display.sent("01 Mar 2025", second / 40, 100 * second, 7)
    bar = out.getvalue()
    assert "━" in bar
    assert "01 Mar 2025" in bar
    assert "1,000 events  100/s  lag 7" in bar
    # A quarter took ten seconds: thirty are left.
    assert "0:00:30" in bar


def test_a_terminal_is_told_what_is_left_when_all_is_sent() -> None:
    assert "3 records to read" in shown(terminal=True)
