"""(b) Scoring: processor time per event, against the textbook consumer and against Quix Streams.

All three read the same stretch of the same topic, know the same customers, and do the same fold,
prediction and news for every event. Ours and the textbook consumer each have a database of their
own, filled alike; Quix Streams has its RocksDB. What the database has to do afterwards (vacuum,
checkpoint) counts for ours alone. Where a real shop's log is at hand, ours takes that too.
"""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from bench import known, real, upkeep
from bench.counter import Counter
from bench.figures import Aim, Row, Series, Table, compared
from bench.floors.assessing import NEWS_TOPIC
from bench.known import ARCHETYPES_DATABASE, Segment
from bench.plan import Plan, turns
from bench.processor import Group, Meter
from bench.sandbox import Sandbox, sandbox
from bench.watching import Applied, Counted, Window, window
from shared.events.topics import EVENTS, Topic

OURS, NAIVE, QUIX, REAL = "ours", "naive", "quix", "real orders"
SIDE_SECONDS = 600.0
WARM_SHARE = 0.1
_WORKER = "worker"


@dataclass(frozen=True, slots=True)
class _Run:
    """One side in one round."""

    plan: Plan
    pair: Sandbox
    segment: Segment
    number: int

    def limits(self, events: int) -> tuple[int, int]:
        """Where the window begins and ends."""
        return max(1, int(events * WARM_SHARE)), events


def measure(plan: Plan) -> Table:
    """All three sides, in turns."""
    return asyncio.run(_measure(plan))


async def _measure(plan: Plan) -> Table:
    found: dict[str, list[Window]] = {OURS: [], NAIVE: [], QUIX: [], REAL: []}
    log = real.find()
    with sandbox(upkeep.SETTINGS) as pair:
        plan.say("scoring: archetypes live, customers are copied")
        await known.live(pair)
        await pair.ensure_topics([Topic(NEWS_TOPIC, "bench", ())])
        for database in (OURS, NAIVE):
            await known.copy(pair, database, plan.scoring_customers)
        for number in range(plan.warm_rounds + plan.rounds):
            segment = await known.lay_out(
                pair,
                seed=f"scoring-{number}",
                events=plan.scoring_events,
                customers=plan.scoring_customers,
            )
            run = _Run(plan, pair, segment, number)
            for side in turns((OURS, NAIVE, QUIX), number):
                await _settle(pair)
                found[side].append(await _SIDES[side](run))
                plan.say(f"scoring round {number + 1} {side}: {_told(found[side][-1])}")
            if log is not None:
                orders = real.orders(log, seed=f"real-{number}", count=plan.scoring_real_events)
                run = _Run(plan, pair, await known.put(pair, orders), number)
                await _settle(pair)
                found[REAL].append(await _ours(run))
                plan.say(f"scoring round {number + 1} {REAL}: {_told(found[REAL][-1])}")
    for windows in found.values():
        del windows[: plan.warm_rounds]
    return _table(plan, found)


async def _settle(pair: Sandbox) -> None:
    """What one side left to be done is done before the next begins."""
    for database in (OURS, NAIVE):
        await upkeep.keep_up(pair, database)
    pair.wait_until_quiet()


async def _ours(run: _Run) -> Window:
    warm, end = run.limits(run.segment.events)
    async with run.pair.connected(OURS) as connection:
        await known.place(connection, run.segment)
        with run.pair.serving("scoring", "consumer", database=OURS) as (child, _):
            meter = Meter([Group(_WORKER, child.pid), *run.pair.groups()])
            progress = Applied(connection, run.segment.starts, child)
            return await window(
                progress,
                meter,
                warm=warm,
                end=end,
                seconds=SIDE_SECONDS,
                afterwards=lambda: upkeep.keep_up(run.pair, OURS),
            )


async def _naive(run: _Run) -> Window:
    async with run.pair.connected(NAIVE) as connection:
        await known.place(connection, run.segment)
    url = run.pair.postgres.url_of(NAIVE)
    return await _floor(run, NAIVE, url, run.plan.scoring_naive_events)


async def _quix(run: _Run) -> Window:
    group = f"bench-quix-{run.number}"
    await run.pair.commit_group(group, EVENTS.name, run.segment.starts)
    url = run.pair.postgres.url_of(ARCHETYPES_DATABASE)
    state = run.pair.folder / group
    return await _floor(
        run, QUIX, url, run.plan.scoring_quix_events, "--group", group, "--state", str(state)
    )


async def _floor(run: _Run, side: str, url: str, events: int, *arguments: str) -> Window:
    """A process that counts what it has applied. Quix has no part of the database's time."""
    path = run.pair.folder / f"{side}-{run.number}.count"
    counter = Counter(path)
    command = [
        sys.executable, "-m", f"bench.floors.{side}", "--kafka", run.pair.kafka.bootstrap,
        "--database", url, "--counter", str(path), *arguments,
    ]  # fmt: skip
    broker, postgres = run.pair.groups()
    warm, end = run.limits(events)
    with run.pair.running(side, command) as child:
        groups = [Group(_WORKER, child.pid), broker, *([postgres] if side == NAIVE else [])]
        progress = Counted(counter, child)
        return await window(progress, Meter(groups), warm=warm, end=end, seconds=SIDE_SECONDS)


_SIDES = {OURS: _ours, NAIVE: _naive, QUIX: _quix}


def _told(one: Window) -> str:
    parts = ", ".join(f"{name} {one.cost_of(name):.0f}" for name in one.usage)
    return f"{one.cost:.0f} µs an event ({parts}), {one.rate:,.0f} events a second"


def _table(plan: Plan, found: dict[str, list[Window]]) -> Table:
    ours = _costs("tenure", found[OURS])
    rows: tuple[Row, ...] = (
        compared(
            "row by row: one event, one transaction",
            ours, _costs("row by row", found[NAIVE]), aim=Aim(">=", 25), inverse=True,
            primary=True, headline=True,
        ),
        compared(
            "Quix Streams, at least once, RocksDB",
            ours, _costs("quix", found[QUIX]), aim=Aim(">=", 6), inverse=True,
            primary=True, headline=True,
        ),
        Row("of it the worker process", _parts("tenure", found[OURS], _WORKER)),
        Row("of it PostgreSQL", _parts("tenure", found[OURS], "postgres")),
        Row("of it the broker", _parts("tenure", found[OURS], "kafka")),
        Row(
            "events a second, one worker",
            Series("tenure", "events/s", tuple(one.rate for one in found[OURS])),
            aim=Aim(">=", 10_000), headline=True,
        ),
        *_real_rows(found[REAL]),
    )  # fmt: skip
    return Table(
        "scoring",
        "Scoring: processor time per event of one worker, exactly once and durable",
        rows,
        (
            f"{plan.scoring_customers:,} customers known, events in visits of all; "
            f"{plan.scoring_events:,} events a round for Tenure, {plan.scoring_quix_events:,} for "
            f"Quix Streams, {plan.scoring_naive_events:,} row by row; the first tenth is warm-up.",
            "The same events, fold, prediction (churn, value, drivers) and news for all three; "
            "only Tenure keeps an inbox, so only Tenure notices a repeated event.",
            "CPU of worker, broker and PostgreSQL (Quix Streams: worker and broker); ratio is "
            "theirs over ours. Wall time leaves the upkeep out.",
            upkeep.note(),
            "Real orders: UCI Online Retail, orders and refunds with all their lines, of customers "
            f"nobody knows yet{'' if found[REAL] else '; its log was not at hand'}.",
        ),
    )


def _real_rows(windows: Sequence[Window]) -> tuple[Row, ...]:
    """Nothing where the log is not at hand."""
    if not windows:
        return ()
    return (
        Row("real orders: cost", _costs("tenure", windows)),
        Row(
            "real orders: events a second",
            Series("tenure", "events/s", tuple(one.rate for one in windows)),
        ),
    )


def _costs(name: str, windows: Sequence[Window]) -> Series:
    return Series(name, "CPU-µs/event", tuple(one.cost for one in windows))


def _parts(name: str, windows: list[Window], group: str) -> Series:
    return Series(name, "CPU-µs/event", tuple(one.cost_of(group) for one in windows))
