"""Promises R1, R8 and R11 at the door: what was answered 2xx is on the log, the rest told at once.

`TENURE_SIMULATION_SCALE=50` asks for a million acknowledged events over fifty faults.
"""

import asyncio
import random
from collections import Counter
from itertools import pairwise

import psutil
import pytest

from shared.clock import monotonic_seconds
from stack.platform import Platform
from tests.fixtures.proxy import Proxy
from tests.simulation.door import Answer, Shop, door, on_the_log
from tests.simulation.faults import SCALE, SEED

FAULTS = max(10, SCALE)
ACKNOWLEDGED_MIN = 20_000 * SCALE
# Every kind comes in the first ten.
KINDS = ("door", "broker", "cut", "frozen broker", "door", "cut", "worker", "broker", "cut", "door")
FROZEN_SECONDS = 3.0 if SCALE == 1 else 10.0
ANSWER_SECONDS = 1.0
ACKNOWLEDGEMENT_SECONDS_MAX = 5.0
RSS_GROWTH_MB_MAX = 64
RECOVERY_SECONDS_MAX = 5.0
OUTAGE_SECONDS = 12.0 if SCALE == 1 else 60.0
IN_THE_DOOR_SECONDS = 0.3
EXIT_SECONDS_MAX = 10.0


@pytest.mark.timeout(600 * max(1, SCALE // 5))
async def test_what_was_acknowledged_survives_every_fault() -> None:
    print(f"TENURE_SIMULATION_SEED={SEED}")
    dice = random.Random(SEED)
    with door() as platform:
        async with Proxy("127.0.0.1", platform.supervisor.plans[0].port) as proxy:
            shop = Shop(f"http://127.0.0.1:{proxy.port}", platform.keys["ingest"])
            posting = asyncio.create_task(shop.run())
            for number in range(FAULTS):
                await shop.more(dice.randint(1, 2 * ACKNOWLEDGED_MIN // FAULTS - 1))
                await _break_something(platform, proxy, KINDS[number % len(KINDS)])
            await shop.more(max(1, ACKNOWLEDGED_MIN - len(shop.acknowledged)))
            shop.stop()
            await posting
        lost = shop.acknowledged - await on_the_log(platform, shop.acknowledged)
    print(f"{len(shop.acknowledged)} acknowledged, {FAULTS} faults, {shop.cut} without an answer")
    assert len(shop.acknowledged) >= ACKNOWLEDGED_MIN
    assert proxy.cuts > 0
    assert shop.cut >= FAULTS // 2, "the faults were hardly felt"
    assert not lost, f"{len(lost)} of {len(shop.acknowledged)} lost, seed {SEED}"
    assert set(shop.statuses) <= {202, 429, 503}, shop.statuses


async def _break_something(platform: Platform, proxy: Proxy, kind: str) -> None:
    if kind == "cut":
        proxy.cut()
    elif kind == "door":
        await asyncio.to_thread(platform.kill, "ingest")
    elif kind == "worker":
        await asyncio.to_thread(platform.kill, "ingest-worker")
    elif kind == "broker":
        await asyncio.to_thread(platform.kill, "kafka")
        await asyncio.to_thread(platform.start, "kafka")
    else:
        await asyncio.to_thread(platform.freeze, "kafka")
        await asyncio.sleep(FROZEN_SECONDS)  # the fault itself: so long nobody hears of it
        await asyncio.to_thread(platform.thaw, "kafka")


@pytest.mark.timeout(300)
async def test_negative_control_a_hasty_door_loses_and_never_refuses() -> None:
    """It answers before the broker does: what is on its way is lost, and nobody is told to wait."""
    with door(hasty=True) as platform:
        shop = Shop(platform.urls["ingest"], platform.keys["ingest"])
        posting = asyncio.create_task(shop.run())
        await shop.more(1_000)
        await asyncio.to_thread(platform.freeze, "kafka")
        await shop.more(1_000)
        await asyncio.to_thread(platform.kill, "ingest")
        shop.stop()
        await posting
        await asyncio.to_thread(platform.thaw, "kafka")
        lost = shop.acknowledged - await on_the_log(platform, shop.acknowledged)
    assert lost
    assert broken_promises(shop.refusals) == ["nobody was refused"]


@pytest.mark.timeout(300)
async def test_without_a_broker_the_door_says_so_at_once_and_keeps_nothing() -> None:
    with door() as platform:
        shop = Shop(platform.urls["ingest"], platform.keys["ingest"])
        posting = asyncio.create_task(shop.run())
        await shop.more(2_000)
        process = _process(platform)
        before_mb = process.memory_info().rss / 2**20
        await asyncio.to_thread(platform.kill, "kafka")
        await shop.refused()
        told_at, grown_mb = monotonic_seconds(), 0.0
        while monotonic_seconds() < told_at + OUTAGE_SECONDS:
            grown_mb = max(grown_mb, process.memory_info().rss / 2**20 - before_mb)
            await asyncio.sleep(0.2)
        refusals = [one for one in shop.refusals if one.sent_at > told_at]
        await asyncio.to_thread(platform.start, "kafka")
        started = monotonic_seconds()
        await shop.more(1)
        recovered = monotonic_seconds() - started
        shop.stop()
        await posting
        lost = shop.acknowledged - await on_the_log(platform, shop.acknowledged)
    print(f"{len(refusals)} refused, slowest {max(one.seconds for one in refusals):.2f} s")
    assert broken_promises(refusals) == []
    assert len(refusals) > OUTAGE_SECONDS * 5
    assert grown_mb < RSS_GROWTH_MB_MAX
    assert recovered < RECOVERY_SECONDS_MAX, f"{recovered:.1f} s until the first acknowledgement"
    assert not lost


def broken_promises(refusals: list[Answer]) -> list[str]:
    """What is wrong with the answers to requests that came once the outage was known.

    Each is a 503 that says when to come again, within a second; but for one request at a time,
    which finds out whether the broker is back, and is answered when an acknowledgement is overdue.
    """
    if not refusals:
        return ["nobody was refused"]
    broken = []
    if {one.status for one in refusals} != {503}:
        broken.append(f"refused with {Counter(one.status for one in refusals)}")
    if not all(int(one.retry_after or 0) >= 1 for one in refusals):
        broken.append("refused without saying when to come again")
    slow = sorted((one for one in refusals if one.seconds > ANSWER_SECONDS), key=_sent_at)
    if any(after.sent_at < before.ended_at for before, after in pairwise(slow)):
        broken.append(f"several waited at once: {slow}")
    if any(one.seconds > ACKNOWLEDGEMENT_SECONDS_MAX + ANSWER_SECONDS for one in slow):
        broken.append(f"waited longer than for an acknowledgement: {slow}")
    return broken


def _sent_at(one: Answer) -> float:
    return one.sent_at


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (Answer(0, 0.1, 500, "1"), "refused with"),
        (Answer(0, 0.1, 503, None), "without saying when"),
        (Answer(10, 7.0, 503, "1"), "longer than for an acknowledgement"),
    ],
)
def test_negative_control_a_wrong_answer_is_seen(wrong: Answer, what: str) -> None:
    fine = [Answer(1, 0.01, 503, "1"), Answer(2, 4.0, 503, "1")]
    assert broken_promises(fine) == []
    assert what in broken_promises([*fine, wrong])[0]
    assert "several" in broken_promises([*fine, Answer(3, 1.5, 503, "1")])[0]


@pytest.mark.timeout(300)
async def test_a_door_told_to_stop_answers_whatever_it_has_taken() -> None:
    """The control is the same door, killed instead."""
    # Every request stays in the door for a while after its events are on the log.
    with door(failpoints=f"intake.after_write=sleep:{IN_THE_DOOR_SECONDS}") as platform:
        unanswered, seconds = await _leave(platform, kill=False)
        assert not unanswered
        assert seconds <= EXIT_SECONDS_MAX
        platform.supervisor.release("ingest")
        await asyncio.to_thread(platform.wait_until_ready, 60.0)
        unanswered, _ = await _leave(platform, kill=True)
        assert unanswered


async def _leave(platform: Platform, *, kill: bool) -> tuple[set[str], float]:
    """What is on the log and was never answered when a busy door goes; how long it took to go."""
    shop = Shop(platform.urls["ingest"], platform.keys["ingest"], name=str(kill))
    posting = asyncio.create_task(shop.run())
    await shop.more(300)
    async with asyncio.timeout(10):
        while not shop.sent - shop.acknowledged:
            await asyncio.sleep(0.01)
    await asyncio.sleep(IN_THE_DOOR_SECONDS / 3)  # on the log by now, and answered later than that
    started = monotonic_seconds()
    await asyncio.to_thread(platform.supervisor.hold, "ingest", kill=kill)
    seconds = monotonic_seconds() - started
    shop.stop()
    await posting
    return await on_the_log(platform, shop.sent) - shop.acknowledged, seconds


def _process(platform: Platform) -> psutil.Process:
    pid = platform.supervisor.pid("ingest")
    assert pid is not None
    return psutil.Process(pid)
