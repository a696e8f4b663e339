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


def test_a_terminal_gets_a_bar_with_rate_and_lag() -> None:
    text = shown(terminal=True)
    assert "100/s" in text or "settling" in text
    assert "━" in text
