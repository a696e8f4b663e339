"""What a person sees while history is sent: a bar in a terminal, a line now and then elsewhere."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

LINE_EVERY_SECONDS = 10.0


class Display:
    """Used as a context. `seconds()` is a clock that never steps back."""

    def __init__(self, console: Console, seconds: Callable[[], float]) -> None:
        self._console = console
        self._seconds = seconds
        self._started_at = seconds()
        self._said_at = seconds()
        self._task: TaskID | None = None
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=24),
            _Field("figures"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            get_time=seconds,
        )

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.__exit__(kind, error, trace)

    def sent(self, what: str, share: float, events: int, backlog: int) -> None:
        """`share` of the history, 0 to 1, has been sent; `backlog` events are under way."""
        rate = events / max(0.001, self._seconds() - self._started_at)
        figures = f"{events:,} events  {rate:,.0f}/s  lag {backlog:,}"
        self.show(what, figures, share)

    def settling(self, figures: str) -> None:
        """Everything is sent; the platform works off what is under way."""
        self.show("settling", figures, None)

    def show(self, what: str, figures: str, share: float | None) -> None:
        """`what` is going on, in `figures`; `share` of it is done, or nobody knows."""
        if not self._console.is_terminal:
            self._say(what, figures, share)
        elif self._task is None:
            self._task = self._progress.add_task(what, total=1.0, figures=figures)
        elif share is None:
            self._progress.update(self._task, total=None, description=what, figures=figures)
        else:
            self._progress.update(self._task, completed=share, description=what, figures=figures)

    def _say(self, what: str, figures: str, share: float | None) -> None:
        if self._seconds() - self._said_at < LINE_EVERY_SECONDS:
            return
        self._said_at = self._seconds()
        done = "" if share is None else f"{share:.0%}  "
        self._console.print(f"{what}  {done}{figures}")


class _Field(ProgressColumn):
    """A field of the task that may be empty."""

    def __init__(self, name: str) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self._name = name

    def render(self, task: Task) -> Text:
        return Text(str(task.fields.get(self._name, "")), style="cyan")
