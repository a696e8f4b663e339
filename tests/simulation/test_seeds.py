"""Many short runs under a seed: cut connections, two replicas that come and go, repeats.

In one process, with the log in memory and the real database, so that hundreds of interleavings fit
in a test run. `TENURE_SIMULATION_SEEDS=500` runs more; a failing seed is in the test's name.
"""

import asyncio
import os
import random
from contextlib import AsyncExitStack

import pytest

from shared.events.loyalty import PointsAwarded
from shared.runtime.failpoints import FAIL_POINTS, FailPoints, parse
from shared.testing.harness import Running, running
from shared.testing.memory_log import MemoryLog
from tests.integration.runtime.counting import build as counting
from tests.simulation.faults import expected_counts, history, inversions
from tests.simulation.variants import forgetful

SEEDS = int(os.environ.get("TENURE_SIMULATION_SEEDS", "12"))
SMALL = {"batch_records_max": 10, "poll_seconds": 0.02, "leader_seconds": 0.02}


def cuts(seed: int) -> FailPoints:
    """Every gap of the consumer and the relay breaks now and then."""
    gaps = [name for name in FAIL_POINTS if name.startswith(("consumer", "relay"))]
    return FailPoints(parse(",".join(f"{gap}=error:0.06" for gap in gaps)), seed)


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_cut_connections_and_changing_replicas_change_nothing(
    seed: int, database_url: str
) -> None:
    """Every third seed has no memory of ids, and no client that repeats itself: then the check of
    the positions alone must be exact."""
    dice, remembers = random.Random(seed), bool(seed % 3)
    build = counting if remembers else forgetful
    repeated_every = dice.randint(3, 9) if remembers else 0
    sent, distinct = history(orders=150, customers=12, repeated_every=repeated_every)
    log = MemoryLog()
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(
            running(build, database_url, log=log, settings=SMALL, failpoints=cuts(seed))
        )
        for place in range(0, len(sent), 30):
            await first.put(*sent[place : place + 30])
            if dice.random() < 0.5:
                async with running(
                    build,
                    database_url,
                    log=log,
                    settings=SMALL,
                    replica="1",
                    failpoints=cuts(seed + 1_000),
                ):
                    await asyncio.sleep(dice.random() * 0.05)
        await first.settle()
        assert await _counts(first) == expected_counts(sent)
        published = first.published(PointsAwarded)
        assert len({one.id for one in published}) == distinct
        assert inversions(await _seen(first)) == 0


async def test_negative_control_without_a_memory_of_ids_repetitions_count(
    database_url: str,
) -> None:
    sent, _ = history(orders=50, customers=12, repeated_every=5)
    async with running(forgetful, database_url, settings=SMALL) as service:
        await service.feed(*sent)
        assert sum((await _counts(service)).values()) == len(sent)


async def _counts(service: Running) -> dict[str, int]:
    async with service.context.read() as session:
        rows = await session.driver.fetch("SELECT customer_id, orders FROM counts")
    return {row["customer_id"]: row["orders"] for row in rows}


async def _seen(service: Running) -> dict[str, list[str]]:
    async with service.context.read() as session:
        rows = await session.driver.fetch("SELECT customer_id, seen FROM counts")
    return {row["customer_id"]: row["seen"] for row in rows}
