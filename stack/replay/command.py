"""`tenure replay FILE`: a shop's past, through the public door."""

import asyncio
import json
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from shared.clock import monotonic_seconds
from stack.addresses import noted
from stack.demo.display import Display
from stack.errors import StackError
from stack.options import DATA_DIR, Clock, DataDir
from stack.replay.journal import REMEMBERED, Journal, Progress
from stack.replay.mapping import ColumnMapping, read_mapping
from stack.replay.records import Format, Source, open_source
from stack.replay.sending import Destination, send, validate

PIPE_COLUMNS = 160
SHOWN_MAX = 20
INTERRUPTED = 130


def replay(  # noqa: PLR0913 — the command's options
    *,
    file: Annotated[Path, typer.Argument(help="CSV, JSON lines, Parquet, or the UCI log.")],
    mapping: Annotated[
        Path | None, typer.Option(help="TOML or JSON: type, columns, constants, timezone, …")
    ] = None,
    maps: Annotated[
        list[str] | None, typer.Option("--map", metavar="COLUMN=PATH", help="As Date=occurred_at.")
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="As type=order.completed."),
    ] = None,
    kind: Annotated[Format | None, typer.Option("--format", help="Else by the suffix.")] = None,
    delimiter: Annotated[str, typer.Option(help="Of CSV.")] = ",",
    timezone: Annotated[str | None, typer.Option(help="Of times without an offset.")] = None,
    time_format: Annotated[
        str | None, typer.Option(help="As in strptime, or unix, unix_ms. Else ISO 8601.")
    ] = None,
    rate: Annotated[float | None, typer.Option(min=0.1, help="Events a second, at most.")] = None,
    url: Annotated[str | None, typer.Option(help="Of ingest; else the running stack's.")] = None,
    key: Annotated[
        str | None, typer.Option(envvar="TENURE_KEY", help="With the scope ingest.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check the rows, here.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help=f"From the beginning. {REMEMBERED}")
    ] = False,
    clock: Annotated[
        Clock | None, typer.Option(help="Refuse a stack that runs on the other clock.")
    ] = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Send a file of events through the public door. What was sent and did not end goes on where it
    was when the same command is given again; with the same key no event counts twice by that."""
    columns = _mapping_of(mapping, maps or (), sets or (), timezone, time_format)
    source = open_source(file, kind, columns, delimiter)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    if dry_run:
        raise typer.Exit(_dry_run(source, Progress(file.name), console))
    where = Destination(_url(url, data_dir, clock), _key(key, data_dir), rate)
    what = {"columns": asdict(columns) if columns else None, "format": kind, "url": where.url}
    journal = Journal.opened(data_dir, file, what, anew=restart)
    if journal.progress.finished:
        console.print(f"{file} has been sent already; --restart sends it again.", soft_wrap=True)
        _summary(console, journal, source.unit, None)
        return
    if journal.progress.records:
        console.print(f"going on behind {source.unit} {journal.progress.records:,}")
    _run(source, where, journal, console)


def _dry_run(source: Source, progress: Progress, console: Console) -> int:
    """Judges all rows here; 1 when some would not be taken."""
    journal = Journal(Path(), Path(), progress)
    with Display(console, monotonic_seconds) as display:
        validate(source, journal, display)
    _summary(console, journal, source.unit, None, accepted="would be accepted")
    return 1 if progress.rejected else 0


def _run(source: Source, where: Destination, journal: Journal, console: Console) -> None:
    started = monotonic_seconds()
    try:
        with Display(console, monotonic_seconds) as display:
            asyncio.run(send(source, where, journal, display))
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on from here")
        raise typer.Exit(INTERRUPTED) from None
    _summary(console, journal, source.unit, monotonic_seconds() - started)


def _mapping_of(
    path: Path | None,
    maps: Sequence[str],
    sets: Sequence[str],
    timezone: str | None,
    time_format: str | None,
) -> ColumnMapping | None:
    """The mapping of the file and the options together; None when neither says anything."""
    document: dict[str, Any] = _document(path) if path is not None else {}
    columns: dict[str, Any] = dict(document.get("columns", {}))
    # A column's name may hold an equals sign, and so may a value; a path does not.
    for column, target in (_two(one, one.rpartition("=")) for one in maps):
        before = columns.get(column, [])
        columns[column] = [*([before] if isinstance(before, str) else before), target]
    constants = {
        **document.get("constants", {}),
        **dict(_two(one, one.partition("=")) for one in sets),
    }
    given = {"timezone": timezone, "time_format": time_format}
    document |= {name: value for name, value in given.items() if value is not None}
    if not (columns or constants or document):
        return None
    return read_mapping({**document, "columns": columns, "constants": constants})


def _document(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        read = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise StackError(f"{path} is no mapping: {error}.", "See `tenure replay --help`.") from None
    if not isinstance(read, dict):
        raise StackError(f"{path} is no mapping.", "See `tenure replay --help`.")
    return read


def _two(option: str, parts: tuple[str, str, str]) -> tuple[str, str]:
    left, _, right = parts
    if not left or not right:
        raise StackError(f"{option} is not of the form NAME=VALUE.", "See `tenure replay --help`.")
    return left, right


def _url(given: str | None, data_dir: Path, clock: Clock | None) -> str:
    known = noted(data_dir)
    runs_on = known.get("clock")
    if clock is not None and runs_on not in (None, clock.value):
        raise StackError(
            f"The stack in {data_dir} runs on the {runs_on} clock.",
            f"Start it with `tenure up --clock {clock.value}`, or leave --clock out.",
        )
    url = given or known.get("ingest_url")
    if not url:
        raise StackError(
            f"No stack runs in {data_dir}.",
            "Start one with `tenure up`, name its --data-dir, or give --url and --key.",
        )
    return url.rstrip("/")


def _key(given: str | None, data_dir: Path) -> str:
    if given:
        return given
    path = data_dir / "keys.json"
    try:
        return str(json.loads(path.read_text())["ingest"])
    except (OSError, ValueError, KeyError, TypeError):
        raise StackError(f"{path} has no key for ingest.", "Give one with --key.") from None


def _summary(
    console: Console,
    journal: Journal,
    unit: str,
    seconds: float | None,
    accepted: str = "accepted",
) -> None:
    """What became of the file over all runs; `seconds` is what this one took."""
    progress = journal.progress
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row(f"{unit}s read", f"{progress.records:,}")
    table.add_row(accepted, f"{progress.accepted:,}")
    table.add_row("rejected", f"{progress.rejected:,}")
    for name, count in progress.by_type.most_common(SHOWN_MAX):
        table.add_row(f"  {name}", f"{count:,}")
    for reason, count in progress.reasons.most_common(SHOWN_MAX):
        table.add_row("  [yellow]not taken[/yellow]", f"{count:,} × {_plain(reason)}")
    if seconds is not None:
        table.add_row("this run", f"{seconds:.1f} s")
    if progress.rejected_bytes:
        table.add_row("rejected rows", str(journal.rejected_path))
    console.print(table)


def _plain(text: str) -> str:
    """Square brackets would be read as markup."""
    return text.replace("[", r"\[")
