"""Promises R12 and R16 on scoring: its state is a function of the topic, not of the clock."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from itertools import cycle
from math import isfinite
from typing import Any

from services.scoring.main import build
from shared.clock import Clock, EventClock, ManualClock
from shared.events.engagement import CustomerMerged
from shared.events.envelope import Event
from shared.events.topics import EVENTS
from shared.runtime.failpoints import FailPoints
from shared.testing.harness import Running, in_batches, running
from shared.testing.memory_log import MemoryLog
from tests.integration.scoring.shop import history
from tests.simulation.faults import SEED
from tests.simulation.test_seeds import cuts

PINNED = {"fit": False, "poll_seconds": 0.02, "leader_seconds": 0.02}
TABLES = {
    "states": "SELECT customer_id, state FROM states ORDER BY 1",
    "purchases": "SELECT * FROM purchases ORDER BY 1, 2",
    "links": "SELECT customer_id, parent_id, root_id FROM links ORDER BY 1",
    "assessments": "SELECT * FROM assessments ORDER BY 1",
}
Rows = dict[str, list[tuple[Any, ...]]]


async def run(
    url: str,
    log: MemoryLog,
    pieces: Sequence[Sequence[Event]] = (),
    clock: Clock | None = None,
    points: FailPoints | None = None,
) -> Rows:
    """The tables once everything in the log, and these pieces after it, has been handled."""
    make = partial(running, build, url, log=log, settings=PINNED, failpoints=points)
    async with make(clock=clock or EventClock()) as service:
        for piece in pieces:
            await service.feed(*piece)
        await service.settle()
        assert service.dead() == []
        return {name: await _fetch(service, query) for name, query in TABLES.items()}


async def _fetch(service: Running, query: str) -> list[tuple[Any, ...]]:
    async with service.context.read() as session:
        return [tuple(row) for row in await session.driver.fetch(query)]


async def test_scoring_rebuilt_from_its_topic_is_the_same_to_the_byte(
    make_database: Callable[..., str],
) -> None:
    log = MemoryLog()
    # A merge concerns two keys, whose order towards each other nobody promises.
    events = [one for one in history(SEED, customers=40) if not _joins_two(one)]
    lived = await run(make_database(), log, in_batches(events, 50), points=cuts(SEED))
    assert all(rows for name, rows in lived.items() if name != "links")
    rebuilt = await run(make_database(), log)
    for name, rows in lived.items():
        assert rebuilt[name] == rows, name


def _joins_two(one: Event) -> bool:
    return isinstance(one, CustomerMerged) or one.alias is not None


async def test_negative_control_a_topic_that_lost_one_record_rebuilds_something_else(
    make_database: Callable[..., str],
) -> None:
    log = MemoryLog()
    lived = await run(make_database(), log, in_batches(history(SEED, customers=10), 50))
    first = next(one for one in log.partitions_of(EVENTS.name) if log.end(one))
    log.delete_before(first, 1)
    assert await run(make_database(), log) != lived


async def test_a_clock_that_steps_back_and_late_events_leave_scores_in_their_bounds(
    make_database: Callable[..., str],
) -> None:
    """The clock is an hour slow (events of the future), a month fast (all is late), steps back."""
    pieces = in_batches(history(SEED, customers=20), 50)
    steady = await run(make_database(), MemoryLog(), pieces)
    async with running(build, make_database(), clock=ManualClock(), settings=PINNED) as service:
        for piece, wrong in zip(pieces, cycle(WRONG), strict=False):
            service.clock.set(piece[-1].time + wrong)
            await service.feed(*piece)
            scores = await _fetch(service, SCORES)
            assert not outside([value for row in scores for value in row])
        assert service.dead() == []
        states = await _fetch(service, TABLES["states"])
    assert states == steady["states"], "what is remembered must not depend on our clock"


def test_negative_control_a_decay_that_trusts_the_clock_leaves_its_bounds() -> None:
    ages = [-wrong.total_seconds() / 86_400 for wrong in WRONG]
    assert outside([0.5 ** (-age / 30) for age in ages])


WRONG = (timedelta(), timedelta(hours=-1), timedelta(days=30), timedelta(days=-30))
SCORES = "SELECT churn_risk, engagement / 100, health / 100 FROM assessments"


def outside(shares: Sequence[float]) -> list[float]:
    """Those that are no share of one: NaN, infinite, negative or above."""
    return [one for one in shares if not (isfinite(one) and 0 <= one <= 1)]
