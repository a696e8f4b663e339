"""Promises R2 to R5, R10 and R11 of the runtime, with real processes, Kafka and PostgreSQL.

Each has its negative control, which the same measurement must catch: the textbook recipe, or our
own runtime without the part that keeps the promise.
"""

import asyncio
import signal
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from shared.clock import monotonic_seconds
from shared.events.commerce import OrderCompleted
from tests.simulation.faults import (
    SCALE,
    SEED,
    World,
    expected_counts,
    history,
    inversions,
    until,
)
from tests.simulation.variants import FREEZE_ONCE

# The full figure is twenty seeds of twenty.
SEEDS = [SEED + n for n in range(max(1, SCALE * 2 // 5))]
IN_THE_GAP = "consumer.after_commit=kill:1"
GAP_SECONDS_MAX = 5.0
EXIT_SECONDS_MAX = 10.0
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


@pytest.mark.parametrize("seed", SEEDS)
async def test_under_kills_in_every_gap_each_event_counts_once(world: World, seed: int) -> None:
    sent, distinct = history(orders=3_000, customers=100, repeated_every=10)
    await world.put(sent)
    chances = ",".join(f"{gap}=kill:0.03" for gap in GAPS)
    world.start("a", chances, seed)
    world.start("b", chances, seed + 1)

    async def done() -> bool:
        world.revive(chances if world.deaths < 24 else "", seed)
        return await world.settled(len(sent))

    await until(done)
    assert world.deaths >= 20, f"only {world.deaths} deaths: the test proves too little"
    assert await world.counts() == expected_counts(sent)
    published = await world.published()
    assert len(set(published)) == distinct


async def test_negative_control_the_textbook_recipe_counts_twice(world: World) -> None:
    """Undisturbed it is exact, so what it counts too often comes from the gap and nothing else."""
    world.recipe = "naive"
    sent, distinct = history(orders=400, customers=20)
    half = distinct // 2
    await world.put(sent[:half])
    world.start("a")
    await until(partial(_counted, world, half))
    assert await world.counts() == expected_counts(sent[:half])
    world.end()
    world.start("a", IN_THE_GAP, SEED)
    await world.put(sent[half:])

    async def counted_too_often() -> bool:
        world.revive(IN_THE_GAP if world.deaths < 5 else "", SEED)
        return world.deaths >= 2 and sum((await world.counts()).values()) > distinct

    await until(counted_too_often)
    assert inversions(await world.orders_seen()) > 0


async def test_order_per_customer_survives_kills_and_rebalances(world: World) -> None:
    sent, _ = history(orders=1_500, customers=20)
    chances = "consumer.after_commit=kill:0.02,consumer.before_commit=kill:0.02"
    half = len(sent) // 2
    world.start("a", chances, SEED)
    await until(partial(_owns, world, "a"))
    before = len(world.rebalances())
    await world.put(sent[:half])
    world.start("b", chances, SEED)

    async def shared() -> bool:
        world.revive(chances, SEED)
        return await _owns(world, "a", "b")

    await until(shared)
    await world.put(sent[half:])

    async def done() -> bool:
        world.revive(chances if world.deaths < 6 else "", SEED)
        return await world.settled(len(sent))

    await until(done)
    assert len(world.rebalances()) > before, "nobody took over a partition: the test proves nothing"
    assert world.deaths > 0
    assert inversions(await world.orders_seen()) == 0


async def test_a_frozen_worker_that_lost_its_partitions_changes_nothing(world: World) -> None:
    """Frozen inside its transaction, it holds locks that the heir must not wait for long."""
    sent, distinct = history(orders=600, customers=20)
    world.start("zombie", "consumer.before_commit=freeze:1", SEED)
    await world.put(sent)

    await until(partial(_frozen, world), 30)
    assert sum((await world.counts()).values()) == 0
    world.start("heir")
    # The session timeout (6 s), then the open transaction's idle limit (4 s), then the work.
    await until(partial(world.settled, len(sent)), 40)
    world.signal("zombie", signal.SIGCONT)
    await until(partial(_told_off, world), 30)
    assert await world.counts() == expected_counts(sent)
    assert sum((await world.counts()).values()) == distinct


async def test_a_thawed_worker_is_refused_by_its_position_alone(
    world: World, tmp_path: Path
) -> None:
    """No id is remembered here: the check of the position is all there is."""
    world.recipe = "forgetful"
    sent, _ = history(orders=400, customers=20)
    await _thaw_after_succession(world, tmp_path, sent)

    async def refused() -> bool:
        return await world.metric("zombie", "tenure_consumer_fenced_total") > 0

    await until(refused, 30)
    await until(partial(world.settled, len(sent)), 30)
    assert await world.counts() == expected_counts(sent)
    assert inversions(await world.orders_seen()) == 0


async def test_negative_control_without_the_check_a_thawed_worker_counts_twice(
    world: World, tmp_path: Path
) -> None:
    """And applies what is old after what is new: the same control for order (R4)."""
    world.recipe = "unchecked"
    sent, distinct = history(orders=400, customers=20)
    await _thaw_after_succession(world, tmp_path, sent)

    async def counted_twice() -> bool:
        return sum((await world.counts()).values()) > distinct

    await until(counted_twice, 30)
    assert await world.metric("zombie", "tenure_consumer_fenced_total") == 0
    assert inversions(await world.orders_seen()) > 0


async def _thaw_after_succession(
    world: World, folder: Path, sent: Sequence[OrderCompleted]
) -> None:
    """A worker freezes with a batch in hand, before its transaction; a successor does it all."""
    await world.put(sent)
    world.environment[FREEZE_ONCE] = str(folder / "frozen")
    world.start("zombie")
    await until(partial(_frozen, world), 30)
    world.start("heir")
    await until(partial(world.settled, len(sent)), 40)
    assert await world.counts() == expected_counts(sent)
    world.signal("zombie", signal.SIGCONT)


async def test_every_event_leaves_though_commits_overtake_each_other(world: World) -> None:
    """Ids of the outbox are taken before the commit: a slow batch commits behind later ids."""
    sent = await _slow_and_quick(world)
    assert len(set(await world.published())) == len(sent)


@pytest.mark.parametrize(("relay", "death_chance"), [("paging relay", 0.1), ("hasty relay", 1)])
async def test_negative_control_a_relay_that_pages_or_deletes_first_loses_events(
    world: World, relay: str, death_chance: float
) -> None:
    world.recipe = relay
    sent = await _slow_and_quick(world, death_chance)
    assert len(set(await world.published())) < len(sent)


async def _slow_and_quick(world: World, death_chance: float = 0.1) -> Sequence[OrderCompleted]:
    """Two workers, one with a long time between its inserts and its commit; relays that die."""
    sent, _ = history(orders=600, customers=40)
    dying = f"relay.before_write=kill:{death_chance}"
    world.start("slow", f"consumer.before_commit=sleep:0.1,{dying}", SEED)
    world.start("quick", dying, SEED)
    await until(partial(_owns, world, "slow", "quick"))
    await world.put(sent)

    async def done() -> bool:
        world.revive(dying if world.deaths < 4 else "", SEED)
        return await world.settled(len(sent))

    await until(done)
    return sent


async def test_a_rolling_restart_stops_nobody_for_long_and_moves_no_partition(
    world: World,
) -> None:
    world.recipe = "forgetful"  # whatever were applied again would count again
    world.environment["LOYALTY_SESSION_TIMEOUT_SECONDS"] = "30"  # longer than any restart
    sent, gaps, moved = await _restart_each(world, names=("a", "b"))
    assert await world.counts() == expected_counts(sent)
    assert len(await world.published()) >= len(sent)
    assert not moved
    assert max(gaps) <= GAP_SECONDS_MAX, gaps


async def test_negative_control_a_member_with_a_new_name_stops_the_group(world: World) -> None:
    """Who comes back as somebody else waits until the old name's session has ended."""
    world.environment["LOYALTY_SESSION_TIMEOUT_SECONDS"] = "8"
    _, gaps, moved = await _restart_each(world, names=("c",))
    assert moved
    assert max(gaps) > GAP_SECONDS_MAX


async def _restart_each(
    world: World, names: Sequence[str]
) -> tuple[Sequence[OrderCompleted], list[float], list[str]]:
    """Restarts a, then b, under as many names as are given, while orders come to every partition.

    Answers what was put, the longest standstill of each partition, and why the broker dealt the
    partitions out anew.
    """
    world.start("a")
    world.start("b")
    await until(partial(_owns, world, "a", "b"))
    load = _Load(world)
    loading, before = asyncio.create_task(load.run()), len(world.rebalances())
    for old, new in zip(("a", "b"), names, strict=False):
        await until(partial(_applied, world, old, 20), 30)
        world.signal(old, signal.SIGTERM)
        assert await asyncio.to_thread(world.workers[old].wait, EXIT_SECONDS_MAX) == 0
        world.start(new)
        await until(partial(_applied, world, new, 20), 30)
    load.stop()
    await loading
    await until(partial(world.settled, len(load.sent)))
    return load.sent, load.gaps(), world.rebalances()[before:]


class _Load:
    """Orders for every partition, again and again; and when each partition was seen to move."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._going = True
        self._moves: dict[int, list[float]] = {}
        self.sent: list[OrderCompleted] = []

    def stop(self) -> None:
        self._going = False

    async def run(self) -> None:
        orders, _ = history(orders=40_000, customers=40)
        places: dict[int, int] = {}
        while self._going:
            wave = orders[len(self.sent) : len(self.sent) + 40]
            await self._world.put(wave)
            self.sent += wave
            rows = await self._world.query("SELECT partition, next_offset FROM consumed")
            for row in rows:
                if places.get(row["partition"]) != row["next_offset"]:
                    places[row["partition"]] = row["next_offset"]
                    self._moves.setdefault(row["partition"], []).append(monotonic_seconds())
            await asyncio.sleep(0.1)

    def gaps(self) -> list[float]:
        return [
            max((b - a for a, b in pairwise(times)), default=0.0) for times in self._moves.values()
        ]


async def test_a_worker_told_to_stop_says_so_first_and_finishes_its_batch(world: World) -> None:
    world.recipe = "forgetful"  # whatever were applied again would count again
    sent, _ = history(orders=300, customers=20)
    said, code, seconds = await _leave(world, sent)
    assert "draining" in said[0]
    assert code == 0
    assert seconds <= EXIT_SECONDS_MAX
    half_way = sum((await world.counts()).values())
    assert 0 < half_way < len(sent), "it was not under load"
    world.start("a")
    await until(partial(world.settled, len(sent)))
    assert await world.counts() == expected_counts(sent)


async def _leave(world: World, sent: Sequence[OrderCompleted]) -> tuple[list[str], int, float]:
    """What /readyz says between SIGTERM and the end of a busy worker, its code, the time."""
    await world.put(sent)
    world.start("a", "consumer.before_commit=sleep:0.3")
    await until(partial(_counted, world, 20))
    await until(partial(world.ready, "a"), 30)
    world.signal("a", signal.SIGTERM)
    started, said = monotonic_seconds(), []
    while world.workers["a"].poll() is None:
        try:
            said.append((await world.get("a", "/readyz")).text)
        except httpx.TransportError:
            await asyncio.sleep(0.01)
    return said, world.workers["a"].returncode, monotonic_seconds() - started


async def _owns(world: World, *replicas: str) -> bool:
    """Whether each of these, and nobody else, has partitions of the events."""
    found = await world.owners()
    return set(found) == set(replicas) and all(found.values())


async def _applied(world: World, replica: str, at_least: int) -> bool:
    return await world.metric(replica, "tenure_consumer_events_total") >= at_least


async def _counted(world: World, at_least: int) -> bool:
    return sum((await world.counts()).values()) >= at_least


async def _frozen(world: World) -> bool:
    return world.frozen("zombie")


async def _told_off(world: World) -> bool:
    """The thawed worker had its batch refused, and reads on."""
    refused = await world.metric("zombie", "tenure_consumer_fenced_total")
    retried = await world.metric("zombie", "tenure_consumer_retries_total")
    return refused + retried > 0 and await world.ready("zombie")
