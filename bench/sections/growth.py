"""(d) Growth: the cost of an event when few customers are known, and when many are.

The same worker, twice the same number of events, two databases that differ in nothing but how many
customers they hold. What the database has to do afterwards (vacuum, checkpoint) is part of it.
"""

import asyncio
from dataclasses import dataclass

from bench import known, upkeep
from bench.figures import Aim, Series, Table, compared
from bench.plan import Plan, turns
from bench.processor import Group, Meter
from bench.sandbox import Sandbox, sandbox
from bench.sections.scoring import SIDE_SECONDS, WARM_SHARE
from bench.watching import Applied, Window, window

_WORKER = "worker"


@dataclass(frozen=True, slots=True)
class _Shop:
    """A database with that many known customers."""

    database: str
    customers: int


def measure(plan: Plan) -> Table:
    """Both shops, in turns."""
    return asyncio.run(_measure(plan))


async def _measure(plan: Plan) -> Table:
    shops = tuple(_Shop(f"shop_{count}", count) for count in plan.growth_customers)
    found: dict[str, list[Window]] = {one.database: [] for one in shops}
    with sandbox(upkeep.SETTINGS) as pair:
        await known.live(pair)
        for one in shops:
            plan.say(f"growth: {one.customers:,} customers are copied")
            await known.copy(pair, one.database, one.customers)
            await upkeep.keep_up(pair, one.database)
        for number in range(plan.warm_rounds + plan.rounds):
            for one in turns(shops, number):
                reading = await _one(plan, pair, one, number)
                plan.say(
                    f"growth round {number + 1}, {one.customers:,} customers: "
                    f"{reading.cost:.0f} µs an event, worker {reading.cost_of(_WORKER):.0f}"
                )
                found[one.database].append(reading)
    for windows in found.values():
        del windows[: plan.warm_rounds]
    return _table(plan, [found[one.database] for one in shops])


async def _one(plan: Plan, pair: Sandbox, one: _Shop, number: int) -> Window:
    segment = await known.lay_out(
        pair,
        seed=f"{one.database}-{number}",
        events=plan.growth_events,
        customers=one.customers,
    )
    pair.wait_until_quiet()
    warm = max(1, int(plan.growth_events * WARM_SHARE))
    async with pair.connected(one.database) as connection:
        await known.place(connection, segment)
        with pair.serving("scoring", "consumer", database=one.database) as (child, _):
            meter = Meter([Group(_WORKER, child.pid), *pair.groups()])
            progress = Applied(connection, segment.starts, child)
            return await window(
                progress,
                meter,
                warm=warm,
                end=plan.growth_events,
                seconds=SIDE_SECONDS,
                afterwards=lambda: upkeep.keep_up(pair, one.database),
            )


def _table(plan: Plan, found: list[list[Window]]) -> Table:
    few, many = found
    small, large = (f"{count:,} customers" for count in plan.growth_customers)

    def costs(name: str, windows: list[Window]) -> Series:
        return Series(name, "CPU-µs/event", tuple(one.cost for one in windows))

    def of_worker(name: str, windows: list[Window]) -> Series:
        return Series(name, "CPU-µs/event", tuple(one.cost_of(_WORKER) for one in windows))

    return Table(
        "growth",
        f"Growth: cost of an event with {large} known, over {small}",
        (
            compared(
                "the worker",
                of_worker(large, many),
                of_worker(small, few),
                aim=Aim("<=", 1.3),
                primary=True,
                headline=True,
            ),
            compared(
                "worker, broker and PostgreSQL",
                costs(large, many),
                costs(small, few),
                aim=Aim("<=", 1.6),
                primary=True,
                headline=True,
            ),
        ),
        (
            f"{plan.growth_events:,} events a round and side, in visits of all customers; "
            "the first tenth is warm-up. The column « floor » is the smaller shop.",
            upkeep.note(),
        ),
    )
