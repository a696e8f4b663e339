"""What the commands print: progress on stderr, results on stdout."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    # An image without the embedded pieces shows letters too.
    from stack.doctor import Finding
    from stack.platform import Platform

PIPE_COLUMNS = 240

_progress = Console(stderr=True, highlight=False)
# In a file or a pipe nothing is folded to the width of a terminal that is not there.
_result = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_COLUMNS)


def progress(line: str) -> None:
    """One line about what goes on."""
    _progress.print(f"[dim]tenure:[/dim] {_plain(line)}", soft_wrap=True)


def show_platform(platform: "Platform") -> None:
    """Where everything is, once it is ready."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, url in platform.urls.items():
        table.add_row(name, url, f"[dim]{url}/docs[/dim]")
    table.add_row("Kafka", platform.bootstrap, "")
    table.add_row("keys", str(platform.data_dir / "keys.json"), "[dim]admin, ingest, read[/dim]")
    table.add_row("logs", str(platform.data_dir / "logs"), "")
    _result.print("[bold green]Tenure is ready.[/bold green] Ctrl-C drains and stops it.")
    _result.print(table)


def show_findings(findings: "Sequence[Finding]") -> None:
    """The doctor's table."""
    table = Table(box=None, pad_edge=False)
    for heading in ("", "part", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        bad = "[red]missing[/red]" if finding.needed else "[yellow]note[/yellow]"
        remedy = "" if finding.fine else finding.remedy
        mark = "[green]ok[/green]" if finding.fine else bad
        table.add_row(mark, finding.part, _plain(finding.found), _plain(remedy))
    _result.print(table)


def show_letters(letters: Sequence[Any], *, as_json: bool) -> None:
    """Dead letters, newest last."""
    if as_json:
        for letter in letters:
            row = {**asdict(letter), "value": _text(letter.value), "key": _text(letter.key)}
            row["headers"] = {name: _text(value) for name, value in letter.headers}
            _result.out(json.dumps(row, ensure_ascii=False))
        return
    table = Table("from", "kind", "event", "reason", box=None, pad_edge=False)
    for letter in letters:
        place = f"{letter.topic}[{letter.partition}]@{letter.offset}"
        table.add_row(_plain(place), letter.kind, letter.event_id or "", _plain(letter.reason))
    _result.print(table)
    _result.print(f"{len(letters)} dead letters")


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")


def _plain(text: str) -> str:
    """Square brackets would be read as markup."""
    return text.replace("[", r"\[")
