"""Promises R2 to R5, R10 and R11 of the runtime, with real processes, Kafka and PostgreSQL.

Each has its negative control: the textbook recipe, which the same measurement must catch.
"""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from stack import backing
from stack.ports import free_base
from stack.settings import StackSettings
from tests.simulation.faults import World, expected_counts, history, until

SEED = int(os.environ.get("TENURE_SIMULATION_SEED", random.randrange(10_000)))
GAPS = (
    "consumer.after_poll",
    "consumer.after_begin",
    "consumer.before_state",
    "consumer.after_state",
    "consumer.before_commit",
    "consumer.after_commit",
    "relay.before_write",
    "relay.after_write",
    "relay.after_delete",
)


@pytest.fixture
async def world(tmp_path: Path, database_url: str) -> AsyncIterator[World]:
    """A broker of its own, because topics are counted from their beginning."""
    print(f"TENURE_SIMULATION_SEED={SEED}")
    broker = backing.kafka(tmp_path, free_base(), StackSettings(), prefer="embedded")
    broker.start()
    made = World(database_url, broker.bootstrap)
    await made.prepare()
    yield made
    made.end()
    broker.stop()


async def test_under_kills_in_every_gap_each_event_counts_once(world: World) -> None:
    sent, distinct = history(orders=3_000, customers=100, repeated_every=10)
    await world.put(sent)
    chances = ",".join(f"{gap}=kill:0.03" for gap in GAPS)
    world.start("a", chances, SEED)
    world.start("b", chances, SEED + 1)

    async def done() -> bool:
        world.revive(chances if world.deaths < 24 else "", SEED)
        return await world.settled(len(sent))

    await until(done)
    assert world.deaths >= 10, f"only {world.deaths} deaths: the test proves too little"
    assert await world.counts() == expected_counts(sent)
    published = await world.published()
    assert len(set(published)) == distinct


async def test_order_per_customer_survives_kills_and_rebalances(world: World) -> None:
    sent, _ = history(orders=1_500, customers=20, repeated_every=10_000)
    await world.put(sent)
    chances = "consumer.after_commit=kill:0.02,consumer.before_commit=kill:0.02"
    world.start("a", chances, SEED)

    async def done() -> bool:
        world.revive(chances if world.deaths < 6 else "", SEED)
        if world.starts == 3:
            world.start("b", "", SEED)
        return await world.settled(len(sent))

    await until(done)
    for customer, orders in (await world.orders_seen()).items():
        assert orders == sorted(orders), f"{customer}: applied out of order"


async def test_negative_control_the_textbook_recipe_counts_twice(world: World) -> None:
    world.recipe = "naive"
    sent, distinct = history(orders=400, customers=20, repeated_every=10_000)
    await world.put(sent)
    world.start("a", "consumer.after_commit=kill:0.2", SEED)

    async def counted_all() -> bool:
        world.revive("consumer.after_commit=kill:0.2" if world.deaths < 5 else "", SEED)
        return sum((await world.counts()).values()) >= distinct and world.deaths >= 2

    await until(counted_all)
    await asyncio.sleep(1)
    assert sum((await world.counts()).values()) > distinct


async def test_a_frozen_worker_that_lost_its_partitions_changes_nothing(world: World) -> None:
    sent, distinct = history(orders=600, customers=20, repeated_every=10_000)
    world.start("zombie", "consumer.before_commit=freeze:1", SEED)
    await world.put(sent)
    stopped = world.workers["zombie"].pid

    async def frozen() -> bool:
        return _state(stopped) == "T"

    await until(frozen, 30)
    assert sum((await world.counts()).values()) == 0
    world.start("heir")

    async def inherited() -> bool:
        return await world.settled(len(sent))

    # The session timeout (6 s), then the open transaction's idle limit (4 s), then the work.
    await until(inherited, 40)
    world.signal("zombie", signal.SIGCONT)
    before = await world.counts()
    await _awake(world)
    assert await world.counts() == before == expected_counts(sent)
    assert sum(before.values()) == distinct


async def _awake(world: World) -> None:
    """Until the thawed worker has failed its commit and read on, or ended."""

    async def over() -> bool:
        ended = world.workers["zombie"].poll() is not None
        return ended or _state(world.workers["zombie"].pid) in {"S", "T"}

    await until(over, 30)
    await asyncio.sleep(2)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


async def test_a_rolling_restart_changes_nothing_and_every_exit_is_clean(world: World) -> None:
    sent, distinct = history(orders=2_000, customers=50, repeated_every=10)
    world.start("a")
    world.start("b")
    codes = []
    for replica, part in (("a", 0), ("b", 1), ("a", 2)):
        await world.put(sent[part * len(sent) // 3 : (part + 1) * len(sent) // 3])
        await _some_progress(world, at_least=part * 100 + 1)
        await until(partial(world.ready, replica), 30)
        world.signal(replica, signal.SIGTERM)
        codes.append(await asyncio.to_thread(world.workers[replica].wait, 15))
        world.start(replica)

    async def done() -> bool:
        return await world.settled(len(sent))

    await until(done)
    assert codes == [0, 0, 0]
    assert await world.counts() == expected_counts(sent)
    assert len(set(await world.published())) == distinct


async def _some_progress(world: World, at_least: int) -> None:
    async def moved() -> bool:
        return sum((await world.counts()).values()) >= at_least

    await until(moved, 60)
