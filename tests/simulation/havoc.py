"""What a platform goes through while a history is posted: deaths of everybody, outages, comings."""

import asyncio
import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from stack.platform import Platform
from stack.ports import Ports
from stack.processes import ProcessPlan, replica_of, usual_processes
from tests.simulation import armed
from tests.simulation.faults import owners, until
from tests.simulation.replay import Disturb, Posting

# Who writes events dies in its relay; the door and webhooks in gaps of their own. Insights only
# reads, and scoring's door only answers.
DIE_IN_PLACE = ("ingest-worker", "scoring-worker", "campaigns", "loyalty", "ingest", "webhooks")


def armed_processes(port_base: int, folder: Path, seed: int) -> list[ProcessPlan]:
    """The usual processes, each with fail-points and dice of its own."""
    folder.mkdir()
    starter = (sys.executable, "-I", "-S", armed.__file__, str(folder))
    return [
        replace(plan, other_command=(*starter, plan.name, str(seed), "--", *plan.command))
        for plan in usual_processes(Ports.of(port_base))
    ]


def kills_of_everything(platform: Platform, folder: Path, seed: int) -> Disturb:
    """Each process dies where it was told to, then by chance, then from outside; the broker and the
    database go down while orders are posted, and come back once that was felt."""
    dice = random.Random(seed)
    names = [plan.name for plan in platform.supervisor.plans]
    victims = dice.sample(names, len(names))

    async def disturb(posting: Posting) -> None:
        await posting.at(0.25)
        await asyncio.to_thread(platform.kill, "kafka")
        await posting.refused()
        await asyncio.to_thread(platform.start, "kafka")
        await posting.at(0.45)
        await asyncio.to_thread(platform.kill, "postgres")
        await posting.more(60)
        await asyncio.to_thread(platform.start, "postgres")
        for turn, name in enumerate(victims):
            await posting.at(0.5 + 0.4 * turn / len(victims))
            if name not in DIE_IN_PLACE or died_in_place(folder, name):
                platform.kill(name)

    return disturb


def died_in_place(folder: Path, name: str) -> bool:
    """Whether the first life has ended; until then nobody else kills it."""
    return len(armed.lives(folder, name)) > 1


def replicas_that_join_and_leave(platform: Platform, told: list[str]) -> Disturb:
    """A second scoring worker and a second loyalty come, take partitions, work, and go.

    `told` is a list of what was seen to happen.
    """
    plans = {plan.name: plan for plan in platform.supervisor.plans}
    others = [replica_of(plans["scoring-worker"], "2"), replica_of(plans["loyalty"], "2")]

    async def disturb(posting: Posting) -> None:
        await posting.at(0.1)
        await asyncio.to_thread(platform.supervisor.start, others)
        for other in others:
            await until(partial(_shares, platform, other.service, ("1", "2")))
            told.append(f"{other.service} joined")
        await posting.more(150)
        assert posting.sent < posting.total, "nothing was left to be handled by fewer"
        for other in others:
            await asyncio.to_thread(platform.supervisor.remove, other.name)
            await until(partial(_shares, platform, other.service, ("1",)))
            told.append(f"{other.service} left")

    return disturb


async def _shares(platform: Platform, group: str, replicas: Sequence[str]) -> bool:
    """Whether these replicas, and no other, have partitions of the events."""
    found = await owners(platform.bootstrap, group)
    return set(found) == set(replicas) and all(found.values())
