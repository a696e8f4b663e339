"""(a) Intake: acknowledged events at `POST /v1/events`, against the least that could take them.

Both servers are one uvicorn process with uvloop and httptools, both answer after the broker's
acknowledgement. Ours also checks the key, bounds the body, validates every event and says per event
what was wrong; the floor only cuts a batch into its events.
"""

import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Literal

from bench.figures import Aim, Row, Series, Table, compared
from bench.floors.door import TOPIC
from bench.load import Outcome
from bench.plan import Plan, turns
from bench.processor import Group, Meter, Usage
from bench.sandbox import Sandbox, sandbox, wait_for
from shared.clock import wall_now
from shared.events.keys import KeyChanged, KeyChangedData
from shared.events.topics import ACCESS_KEYS, TOPICS, Topic
from shared.ids import CustomerId, random_event_id
from shared.runtime.auth import format_key, secret_hash
from shared.runtime.log import Outgoing
from shared.runtime.outbox import TYPE_HEADER

Side = Literal["ours", "floor"]
KEY_SECONDS = 20.0
LOAD_SECONDS = 300.0
AIM_SINGLE, AIM_BATCH = Aim(">=", 0.7), Aim(">=", 1.4)
_SECRET = "b" * 43
_FLOOR_TOPIC = Topic(TOPIC, "bench", ())


@dataclass(frozen=True, slots=True)
class _Door:
    """A server under test."""

    side: Side
    port: int
    pid: int
    authorization: str


@dataclass(frozen=True, slots=True)
class _Reading:
    """One side in one round."""

    events: int
    usage: Usage
    outcome: Outcome

    @property
    def per_second_of_all(self) -> float:
        return self.events / self.usage.total

    @property
    def per_second_of_server(self) -> float:
        return self.events / self.usage["server"]

    @property
    def per_second_of_wall(self) -> float:
        return self.events / self.outcome.seconds


def measure(plan: Plan) -> Table:
    """Both shapes of request, both sides, in turns."""
    return asyncio.run(_measure(plan))


async def _measure(plan: Plan) -> Table:
    with sandbox() as pair:
        await pair.ensure_topics((*TOPICS, _FLOOR_TOPIC))
        authorization = f"Bearer {await _announce_key(pair)}"
        with (
            pair.serving("ingest", "api") as (child, port),
            pair.floor("bench.floors.door", "--kafka", pair.kafka.bootstrap) as (bare, bare_port),
        ):
            ours = _Door("ours", port, child.pid, authorization)
            floor = _Door("floor", bare_port, bare.pid, "Bearer none")
            _wait_for_key(ours)
            single = _interleaved(plan, pair, (ours, floor), plan.intake_requests_single, 1)
            batch = _interleaved(
                plan, pair, (ours, floor), plan.intake_requests_batch, plan.intake_batch
            )
    return Table(
        "intake",
        "Intake: events acknowledged at POST /v1/events against a bare ASGI app with one send() "
        "an event",
        (*_rows("one event a request", single, AIM_SINGLE),
         *_rows(f"{plan.intake_batch} events a request", batch, AIM_BATCH)),
        (
            f"{plan.intake_connections} keep-alive connections on loopback; the client, a process "
            "of its own, is not counted.",
            "All processes: the server and the broker (the database takes no part).",
            "Floor: no key, no validation, no errors per event; aiokafka, acks=all, idempotent.",
        ),
    )  # fmt: skip


def _interleaved(
    plan: Plan, pair: Sandbox, doors: tuple[_Door, _Door], requests: int, batch: int
) -> dict[Side, list[_Reading]]:
    found: dict[Side, list[_Reading]] = {"ours": [], "floor": []}
    for door in doors:
        _one(plan, pair, door, max(1, requests // 4), batch, "warm")
    for number in range(plan.rounds):
        for door in turns(doors, number):
            reading = _one(plan, pair, door, requests, batch, f"r{number}")
            plan.say(
                f"intake {batch:>3} round {number + 1} {door.side}: "
                f"{reading.per_second_of_all:,.0f} events per processor second"
            )
            found[door.side].append(reading)
    return found


def _one(plan: Plan, pair: Sandbox, door: _Door, requests: int, batch: int, label: str) -> _Reading:
    broker, _ = pair.groups()
    meter = Meter([Group("server", door.pid), broker])
    command = [
        sys.executable, "-m", "bench.load", "--port", str(door.port), "--requests", str(requests),
        "--batch", str(batch), "--connections", str(plan.intake_connections),
        "--seed", f"{door.side}-{batch}-{label}", "--authorization", door.authorization,
    ]  # fmt: skip
    with subprocess.Popen(  # noqa: S603 — our own module
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as load:
        assert load.stdin is not None
        assert load.stdout is not None
        assert load.stdout.readline().strip() == "ready", "the client did not start"
        before = meter.read()
        load.stdin.write("go\n")
        load.stdin.flush()
        outcome = Outcome(**json.loads(load.stdout.readline()))
        usage = meter.since(before)
    if outcome.refused:
        raise RuntimeError(f"{door.side} refused {outcome.refused} of {requests} requests")
    return _Reading(requests * batch, usage, outcome)


def _rows(what: str, found: dict[Side, list[_Reading]], aim: Aim) -> tuple[Row, ...]:
    ours, floor = found["ours"], found["floor"]

    def series(readings: list[_Reading], name: str, figure: str, unit: str) -> Series:
        return Series(name, unit, tuple(getattr(one, figure) for one in readings))

    def row(label: str, figure: str, unit: str, wanted: Aim | None = None) -> Row:
        return compared(
            f"{what}: {label}",
            series(ours, "tenure", figure, unit),
            series(floor, "bare app", figure, unit),
            aim=wanted,
            primary=wanted is not None,
            headline=wanted is not None,
        )

    return (
        row("all processes", "per_second_of_all", "events/CPU-s", aim),
        row("server alone", "per_second_of_server", "events/CPU-s"),
        row("wall time", "per_second_of_wall", "events/s"),
    )


async def _announce_key(pair: Sandbox) -> str:
    """A key that may post, put where services learn keys from."""
    now = wall_now()
    event = KeyChanged(
        id=random_event_id(),
        source="/bench",
        subject=CustomerId("bench"),
        time=now,
        recordedtime=now,
        data=KeyChangedData(
            key_id="bench", secret_hash=secret_hash(_SECRET), scopes=("ingest",), label="bench"
        ),
    )
    headers = ((TYPE_HEADER, event.type.encode()),)
    await pair.write([Outgoing(ACCESS_KEYS.name, b"bench", event.to_json(), headers)])
    return format_key("bench", _SECRET)


def _wait_for_key(door: _Door) -> None:
    def known() -> bool:
        return _posts(door)

    wait_for(known, KEY_SECONDS, "the key to be known")


def _posts(door: _Door) -> bool:
    command = [
        sys.executable, "-m", "bench.load", "--port", str(door.port), "--requests", "1",
        "--connections", "1", "--seed", "first", "--authorization", door.authorization,
    ]  # fmt: skip
    done = subprocess.run(  # noqa: S603 — our own module
        command, input="go\n", capture_output=True, text=True, check=True
    )
    return bool(Outcome(**json.loads(done.stdout.splitlines()[-1])).accepted)
