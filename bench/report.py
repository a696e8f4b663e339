"""Tables for people (on the terminal, and as Markdown), figures for programs (as JSON)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from bench.figures import Aim, Row, Series, Table, Verdict

HERE = Path(__file__).parent
RESULTS_JSON = HERE / "results.json"
RESULTS_MARKDOWN = HERE / "RESULTS.md"
COLUMNS = ("", "floor", "Tenure", "ratio: min – median – max", "aim", "")
_STYLES = {"met": "green", "missed": "red", "void": "yellow", "-": ""}


def show(table: Table, console: Console) -> None:
    """One table on the terminal."""
    rich = RichTable(title=table.title, title_justify="left", caption="\n".join(_notes(table)),
                     caption_justify="left")  # fmt: skip
    for column in COLUMNS:
        rich.add_column(column)
    for row in table.rows:
        verdict = table.verdict(row)
        rich.add_row(*cells(row, verdict), style=_STYLES[verdict])
    console.print(rich)


def show_machine(machine: Mapping[str, str], console: Console) -> None:
    console.print(" · ".join(f"{name} {value}" for name, value in machine.items()), soft_wrap=True)


def _notes(table: Table) -> tuple[str, ...]:
    return (*(f"VOID: {reason}." for reason in table.void_because), *table.notes)


def cells(row: Row, verdict: Verdict) -> tuple[str, ...]:
    """One line under `COLUMNS`."""
    return (
        row.what,
        _middle(row.floor),
        _middle(row.ours) if row.ratio is not None else _spread(row.ours),
        "" if row.ratio is None else _spread(row.ratio),
        "" if row.aim is None else f"{row.aim.sign} {row.aim.value:g}",
        "" if verdict == "-" else verdict,
    )


def _middle(series: Series | None) -> str:
    return "" if series is None else f"{_short(series.middle)} {series.unit}"


def _spread(series: Series) -> str:
    """Three figures, or one where only one was measured."""
    if len(series.values) == 1:
        return _middle(series)
    unit = "" if series.unit == "×" else f" {series.unit}"
    return f"{_short(series.low)} – {_short(series.middle)} – {_short(series.high)}{unit}"


def _short(figure: float) -> str:
    """Three digits that matter."""
    if abs(figure) >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.3g}"


def to_plain(tables: list[Table], machine: Mapping[str, str], at: datetime) -> dict[str, Any]:
    """As JSON can hold it, by section."""
    return {
        table.section: {
            "measured_at": at.isoformat(timespec="seconds"),
            "machine": dict(machine),
            "rounds": max(len(row.ours.values) for row in table.rows),
            **asdict(table),
        }
        for table in tables
    }


def merge(known: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Sections measured now replace their older selves."""
    return {**known, **new}


def load_results(path: Path = RESULTS_JSON) -> dict[str, Any]:
    """What was measured before; nothing at first."""
    if not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def write_results(results: Mapping[str, Any], folder: Path = HERE) -> None:
    """`results.json` and the `RESULTS.md` made from it."""
    (folder / RESULTS_JSON.name).write_text(json.dumps(results, indent=1) + "\n")
    (folder / RESULTS_MARKDOWN.name).write_text(markdown(results))


def markdown(results: Mapping[str, Any]) -> str:
    """The page with every figure."""
    parts = [
        "# Measured",
        "Made by `make bench`; do not edit. Ratios are between sides measured in turns in one run, "
        "so they hold on a busy machine too; absolute figures are this machine's. CPU-s are "
        "processor seconds (user and system) of all processes that take part.",
    ]
    for section in results.values():
        parts.extend(_section(section))
    return "\n\n".join(parts) + "\n"


def _section(section: Mapping[str, Any]) -> list[str]:
    table = table_of(section)
    machine = ", ".join(f"{name} {value}" for name, value in section["machine"].items())
    notes = [f"- {note}" for note in _notes(table)]
    measured = f"- {section['rounds']} rounds, {section['measured_at']}, on {machine}."
    lines = pipes([COLUMNS, *(cells(row, table.verdict(row)) for row in table.rows)])
    return [f"## {table.title}", lines, "\n".join([*notes, measured])]


def pipes(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first line is its head."""
    head, *rest = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([head, "|" + " --- |" * len(lines[0]), *rest])


def table_of(section: Mapping[str, Any]) -> Table:
    """A section as it was before it became plain."""
    return Table(
        section["section"],
        section["title"],
        tuple(_row(row) for row in section["rows"]),
        tuple(section["notes"]),
        tuple(section["spoilt_by"]),
    )


def _row(plain: Mapping[str, Any]) -> Row:
    return Row(
        plain["what"],
        _series(plain["ours"]),
        None if plain["floor"] is None else _series(plain["floor"]),
        None if plain["ratio"] is None else _series(plain["ratio"]),
        None if plain["aim"] is None else Aim(**plain["aim"]),
        plain["primary"],
        plain["headline"],
    )


def _series(plain: Mapping[str, Any]) -> Series:
    return Series(plain["name"], plain["unit"], tuple(plain["values"]))
