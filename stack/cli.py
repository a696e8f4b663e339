"""The `tenure` command. Commands import what they need when they run: help is instant."""

import json
import socket
import sys
import threading
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from stack.errors import StackError
from stack.options import DATA_DIR, Clock, ClockOption, DataDir, PortBase

app = typer.Typer(
    name="tenure",
    help="A customer-retention platform that a shop runs itself.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
keys_app = typer.Typer(help="API keys.", no_args_is_help=True)
dead_letters_app = typer.Typer(help="Events that could not be handled.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")
app.add_typer(dead_letters_app, name="dead-letters")

PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True}


class BackingChoice(StrEnum):
    """Which rung of the ladder, where no address is given."""

    EMBEDDED = "embedded"
    DOCKER = "docker"


@app.command()
def up(
    data_dir: DataDir = DATA_DIR,
    port_base: PortBase = None,
    clock: ClockOption = Clock.WALL,
    backing: Annotated[
        BackingChoice, typer.Option(help="Where PostgreSQL and Kafka come from.")
    ] = BackingChoice.EMBEDDED,
) -> None:
    """Start everything on this machine; Ctrl-C drains."""
    from stack.platform import PlatformOptions, running_platform
    from stack.showing import progress, show_platform
    from stack.signals import StopAsked, stop_signals

    options = PlatformOptions(
        data_dir=data_dir,
        port_base=port_base,
        clock=clock.value,
        prefer="docker-only" if backing is BackingChoice.DOCKER else "embedded",
        report=progress,
    )
    with stop_signals():
        try:
            with running_platform(options) as platform:
                show_platform(platform)
                threading.Event().wait()
        except StopAsked:
            progress("drained")


@app.command()
def serve(
    service: Annotated[str, typer.Argument(help="ingest, scoring, campaigns, …")],
    port: Annotated[int, typer.Option(help="0 chooses a free one.")],
    roles: Annotated[str, typer.Option(help="Any of api,consumer,jobs.")] = "api,consumer,jobs",
    replica: Annotated[
        str | None, typer.Option(help="Differs among copies of a service; else the host's name.")
    ] = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Run one service (or some of its roles) in this process, for TENURE_* or a running stack."""
    from stack.prepare import join, serve_service

    join(data_dir)
    wanted = frozenset(part.strip() for part in roles.split(",") if part.strip())
    # Two of one name would take the partitions from each other for ever.
    raise typer.Exit(serve_service(service, wanted, port, replica or socket.gethostname()))


@app.command()
def migrate(data_dir: DataDir = DATA_DIR) -> None:
    """Bring topics, schemas and first keys up to date, in TENURE_* or a running stack."""
    from stack.addresses import addresses
    from stack.prepare import ensure_topics, first_keys, migrate_all

    where = addresses(data_dir)
    ensure_topics(where)
    services = migrate_all(where)
    line = first_keys(where, data_dir)
    if line is not None:
        typer.echo(line)
    typer.echo(f"topics, first keys and the schemas of {services} services are up to date")


@app.command()
def doctor(data_dir: DataDir = DATA_DIR, port_base: PortBase = None) -> None:
    """Say what is missing for a start, and how to get it."""
    from stack.doctor import examine
    from stack.settings import StackSettings
    from stack.showing import show_findings

    findings = examine(data_dir, port_base, StackSettings(data_dir=data_dir))
    show_findings(findings)
    if any(finding.needed and not finding.fine for finding in findings):
        raise typer.Exit(1)


@keys_app.command("create")
def create_key(
    scope: Annotated[str, typer.Option(help="ingest, read, operate or admin.")],
    data_dir: DataDir = DATA_DIR,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Create an API key; it is shown once and stored hashed."""
    from stack.addresses import addresses
    from stack.prepare import create_key as create

    key = create(scope, addresses(data_dir))
    typer.echo(json.dumps({"scope": scope, "key": key}) if as_json else key)


@dead_letters_app.command("list")
def list_dead_letters(
    service: Annotated[str, typer.Option(help="The reader that could not handle them.")],
    data_dir: DataDir = DATA_DIR,
    limit: Annotated[int, typer.Option(min=1, help="Letters shown.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="One object a line.")] = False,
) -> None:
    """Show what a service could not handle, and why."""
    from stack.letters import list_letters
    from stack.showing import show_letters

    show_letters(list_letters(service, data_dir, limit), as_json=as_json)


@dead_letters_app.command("replay")
def replay_dead_letters(
    service: Annotated[str, typer.Option(help="The reader that could not handle them.")],
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Hand what is in the dead letters to the service once more."""
    from stack.letters import replay_letters

    replayed = replay_letters(service, data_dir)
    typer.echo(f"{replayed.sent} sent again to {service}")
    if replayed.left_out:
        typer.echo(
            f"{replayed.left_out} are too large to have come along: see their place", err=True
        )
        raise typer.Exit(1)


@app.command()
def events(
    check: Annotated[bool, typer.Option("--check", help="Only say what differs.")] = False,
    schema: Annotated[str | None, typer.Option(help="Print one type's JSON Schema.")] = None,
    root: Annotated[Path, typer.Option(help="The project's root.")] = Path(),
) -> None:
    """Write docs/events.md, docs/asyncapi.yaml and docs/settings.md from the code."""
    from shared.events import docs
    from stack import reference

    if schema is not None:
        schemas = docs.json_schemas()
        if schema not in schemas:
            raise StackError(f"There is no event type {schema}.", "See docs/events.md.")
        typer.echo(json.dumps(schemas[schema], indent=2))
        return
    stale = [*docs.check_docs(root), *reference.stale_settings(root)]
    if check and stale:
        raise StackError(f"Out of date: {', '.join(stale)}.", "Run `tenure events`.")
    if not check:
        docs.write_docs(root)
        reference.write_settings(root)
    typer.echo(f"{len(stale)} of the generated documents {'differ' if check else 'written anew'}")


@app.command(context_settings=PASS_THROUGH, add_help_option=False)
def demo(context: typer.Context) -> None:
    """Start everything and send a shop's history through it."""
    from stack.demo.command import demo as command

    lazily = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    lazily.command(name="demo")(command)
    lazily(args=context.args, prog_name="tenure demo")


@app.command(context_settings=PASS_THROUGH, add_help_option=False)
def replay(context: typer.Context) -> None:
    """Send a file of a shop's past (CSV, JSON lines, Parquet) through the public door."""
    from stack.replay.command import replay as command

    lazily = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    lazily.command(name="replay")(command)
    lazily(args=context.args, prog_name="tenure replay")


@app.command(context_settings=PASS_THROUGH, add_help_option=False)
def bench(context: typer.Context) -> None:
    """Measure this machine against the promises."""
    import runpy

    sys.argv = ["tenure bench", *context.args]
    runpy.run_module("bench", run_name="__main__", alter_sys=True)


def main() -> None:
    """The entry point: what a person has to settle is one line and exit code 1."""
    try:
        app()
    except Exception as error:
        from stack.failures import explained

        told = explained(error)
        if told is None:
            raise
        _say(str(told))


def _say(line: str) -> None:
    sys.stderr.write(f"tenure: {line}\n")
    raise SystemExit(1)


if __name__ == "__main__":
    main()
