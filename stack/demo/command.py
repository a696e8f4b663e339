"""`tenure demo`: the whole platform on this machine, and a shop's history sent through it."""

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stack.errors import StackError
from stack.options import DATA_DIR, Clock, ClockOption, DataDir, PortBase

if TYPE_CHECKING:
    from stack.demo.driving import Place
    from stack.demo.happening import History
    from stack.platform import Platform, PlatformOptions

DOWNLOAD = "online-retail"
# Events under way at once, where customers answer interventions and where nobody does.
BACKLOG_MAX = {True: 2_000, False: 10_000}
PIPE_COLUMNS = 130
# The demo's receiver listens on loopback, where webhooks go only when they are told to.
ENVIRONMENT = {"WEBHOOKS_ALLOWED_NETWORKS": "127.0.0.0/8"}


def demo(
    *,
    data: Annotated[
        str | None,
        typer.Option(help="The UCI Online Retail log: its path, or online-retail to download it."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many orders.")] = None,
    leave: Annotated[
        bool, typer.Option("--exit", help="Stop after the summary instead of staying up.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the simulated shop.")] = 7,
    customers: Annotated[int, typer.Option(min=10, help="Of the simulated shop.")] = 2_000,
    clock: ClockOption = Clock.EVENT,
    data_dir: DataDir = DATA_DIR,
    port_base: PortBase = None,
) -> None:
    """Start everything and send a shop's history through it: simulated, or real with --data."""
    from stack.platform import PlatformOptions
    from stack.showing import progress
    from stack.signals import StopAsked, stop_signals

    options = PlatformOptions(
        data_dir=data_dir,
        port_base=port_base,
        clock=clock.value,
        environment=ENVIRONMENT,
        report=progress,
    )
    with stop_signals():
        try:
            _run(options, history_of(data, seed, customers, data_dir), limit, stay=not leave)
        except StopAsked:
            progress("stopping")
    progress("drained")


def _run(
    options: "PlatformOptions", history: "History", orders_max: int | None, *, stay: bool
) -> None:
    from rich.console import Console

    from stack.demo.driving import Drive, drive
    from stack.demo.summary import Outcome, show
    from stack.platform import running_platform
    from stack.showing import show_platform

    # In a file or a pipe nothing is folded to the width of a terminal that is not there.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    with running_platform(options) as platform:

        def done(outcome: Outcome) -> None:
            show(console, outcome)
            if stay:
                show_platform(platform)

        place, how = _place(platform), Drive(orders_max, BACKLOG_MAX[history.answers])
        in_thread(lambda: drive(place, history, how, console, done, stay=stay))


def _place(platform: "Platform") -> "Place":
    from stack.demo.driving import Place

    plans = platform.supervisor.plans
    return Place(
        urls=platform.urls,
        keys=platform.keys,
        processes={plan.name: plan.url for plan in plans},
        services={plan.name: plan.service for plan in plans},
        database_url=platform.database_url,
        data_dir=platform.data_dir,
    )


def history_of(data: str | None, seed: int, customers: int, data_dir: Path) -> "History":
    """The simulated shop, or the real log from a path or the archive."""
    from stack.demo.online_retail import load
    from stack.demo.simulator import SimulatedShop

    if data is None:
        return SimulatedShop(seed=seed, customers=customers)
    if data == DOWNLOAD:
        return load(_download(data_dir / "downloads"))
    return load(Path(data))


def _download(folder: Path) -> Path:
    """The log, with a progress bar while it comes."""
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from stack.demo.download import fetch

    columns = (TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("downloading the Online Retail log", total=None)

        def report(done: int, whole: int | None) -> None:
            progress.update(task, completed=done, total=whole)

        found: list[Path] = []

        async def run() -> None:
            found.append(await fetch(folder, report=report))

        in_thread(run)
    return found[0]


def in_thread(make: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs a coroutine in a loop of another thread, so that a signal interrupts only the waiting.

    When the wait is interrupted the coroutine is cancelled and allowed to end in good order. Its
    exception is raised here; of a group, the first one.
    """
    failures: list[BaseException] = []
    cancel: list[Callable[[], object]] = []
    guarded, started, ended = threading.Event(), threading.Event(), threading.Event()

    async def main() -> None:
        task = asyncio.ensure_future(make())
        loop = asyncio.get_running_loop()
        cancel.append(lambda: loop.call_soon_threadsafe(task.cancel))
        started.set()
        try:
            await task
        except asyncio.CancelledError:
            return
        except BaseException as error:
            failures.append(error)

    def run() -> None:
        guarded.wait()
        try:
            asyncio.run(main())
        finally:
            ended.set()

    # A signal may come before `start` has returned: the coroutine begins when somebody can end it.
    threading.Thread(target=run, name="demo", daemon=True).start()
    # Events, because an interrupted `join` takes the thread for ended (CPython 3.11).
    try:
        guarded.set()
        ended.wait()
    except BaseException:
        guarded.set()
        started.wait()
        cancel[0]()
        ended.wait()
        raise
    for failure in failures:
        raise _innermost(failure)


def _innermost(failure: BaseException) -> BaseException:
    while isinstance(failure, BaseExceptionGroup):
        told = [one for one in failure.exceptions if isinstance(one, StackError)]
        failure = told[0] if told else failure.exceptions[0]
    return failure
