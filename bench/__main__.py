"""`make bench`: measures against floors in the same run, and prints ratios."""

import json
import logging
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from bench import readme, report
from bench.figures import Table
from bench.machine import describe_machine
from bench.plan import ROUNDS_MIN, Plan, Say, quick
from bench.progress import paced
from shared.clock import wall_now


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
    rounds: Annotated[
        int,
        typer.Option(min=1, help=f"Both sides in turns, this often; kept from {ROUNDS_MIN} on."),
    ] = ROUNDS_MIN,
    small: Annotated[
        bool, typer.Option("--quick", help="Small sizes: shows that all works, measures nothing.")
    ] = False,
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Where to write every figure too.")
    ] = None,
    only_readme: Annotated[
        bool, typer.Option("--readme", help="Measure nothing: the README from what is kept.")
    ] = False,
) -> None:
    """Measure this machine against the promises."""
    say = Console(stderr=True, style="dim", soft_wrap=True, highlight=False).print
    if only_readme:
        _refresh_readme(say)
        return
    # Its warnings while a new topic finds its leader would come between the tables.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    plan = quick(rounds, say) if small else Plan(rounds=rounds, say=say)
    machine = describe_machine()
    console = Console(width=140)
    report.show_machine(machine, console)
    if not plan.is_kept:
        say(f"Small sizes or fewer than {ROUNDS_MIN} rounds: nothing is kept.")
    found: dict[str, Any] = {}
    for section in paced([str(one) for one in sections or Section], plan):
        table: Table = import_module(f"bench.sections.{section}").measure(plan)
        report.show(table, console)
        new = report.to_plain([table], machine, wall_now())
        found |= new
        if plan.is_kept:
            results = report.merge(report.load_results(), new)
            report.write_results(results)
            readme.refresh(results)
    if json_path is not None:
        json_path.write_text(json.dumps(found, indent=1))


def _refresh_readme(say: Say) -> None:
    if not readme.refresh(report.load_results()):
        say(f"{readme.README} has no {readme.BEGIN} … {readme.END}: nothing was written.")
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(bench)
