"""Tables for people (on the terminal, and as Markdown), figures for programs (as JSON)."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from bench.figures import Aim, Row, Series, Table

HERE = Path(__file__).parent
RESULTS_JSON = HERE / "results.json"
RESULTS_MARKDOWN = HERE / "RESULTS.md"
COLUMNS = ("", "floor", "Tenure", "ratio: min – median – max", "aim", "")
_STYLES = {"met": "green", "missed": "red", "void": "yellow", "-": ""}


def show(table: Table, console: Console) -> None:
    """One table on the terminal."""
    rich = RichTable(title=table.title, title_justify="left", caption="\n".join(table.notes),
                     caption_justify="left")  # fmt: skip
    for column in COLUMNS:
        rich.add_column(column)
    for row in table.rows:
        rich.add_row(*_cells(row), style=_STYLES[row.verdict])
    console.print(rich)


def show_machine(machine: Mapping[str, str], console: Console) -> None:
    console.print(" · ".join(f"{name} {value}" for name, value in machine.items()), soft_wrap=True)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.what,
        _middle(row.floor),
        _middle(row.ours) if row.ratio is not None else _spread(row.ours),
        "" if row.ratio is None else _spread(row.ratio),
        "" if row.aim is None else f"{row.aim.sign} {row.aim.value:g}",
        "" if row.verdict == "-" else row.verdict,
    )


def _middle(series: Series | None) -> str:
    return "" if series is None else f"{_short(series.middle)} {series.unit}"


def _spread(series: Series) -> str:
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
    """The page that the README quotes."""
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
    rows = [_row(row) for row in section["rows"]]
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in rows]
    machine = ", ".join(f"{name} {value}" for name, value in section["machine"].items())
    notes = [f"- {note}" for note in section["notes"]]
    measured = f"- {section['rounds']} rounds, {section['measured_at']}, on {machine}."
    return [f"## {section['title']}", "\n".join(lines), "\n".join([*notes, measured])]


def _row(plain: Mapping[str, Any]) -> Row:
    return Row(
        plain["what"],
        _series(plain["ours"]),
        None if plain["floor"] is None else _series(plain["floor"]),
        None if plain["ratio"] is None else _series(plain["ratio"]),
        None if plain["aim"] is None else Aim(**plain["aim"]),
    )


def _series(plain: Mapping[str, Any]) -> Series:
    return Series(plain["name"], plain["unit"], tuple(plain["values"]))
