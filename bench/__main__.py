"""`make bench`: measures against floors in the same run, and prints ratios."""

import json
import logging
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench import report
from bench.figures import Table
from bench.machine import describe_machine
from bench.plan import Plan, quick
from shared.clock import wall_now

ROUNDS = 5


class Section(StrEnum):
    """What can be measured."""

    INTAKE = "intake"
    SCORING = "scoring"
    LATENCY = "latency"
    GROWTH = "growth"
    MEMORY = "memory"


def bench(
    sections: Annotated[
        list[Section] | None, typer.Argument(help="All when none is named.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Both sides in turns, this often.")] = ROUNDS,
    small: Annotated[
        bool, typer.Option("--quick", help="Small sizes: shows that all works, measures nothing.")
    ] = False,
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Where to write every figure too.")
    ] = None,
) -> None:
    """Measure this machine against the promises."""
    # Its warnings while a new topic finds its leader would come between the tables.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    console = Console(width=140)
    machine = describe_machine()
    report.show_machine(machine, console)
    say = Console(stderr=True, style="dim").print
    plan = quick(rounds, say) if small else Plan(rounds=rounds, say=say)
    measured_at = wall_now()
    tables: list[Table] = []
    for section in sections or list(Section):
        table: Table = import_module(f"bench.sections.{section}").measure(plan)
        report.show(table, console)
        tables.append(table)
        if not small:
            new = report.to_plain([table], machine, measured_at)
            report.write_results(report.merge(report.load_results(), new))
    if json_path is not None:
        json_path.write_text(json.dumps(report.to_plain(tables, machine, measured_at), indent=1))


if __name__ == "__main__":
    typer.run(bench)
