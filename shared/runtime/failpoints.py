"""Named places in every gap between two effects, where a test can kill, freeze, delay or break.

`TENURE_FAILPOINTS="consumer.after_commit=kill:0.01,relay.after_write=sleep:0.05"` arms them; the
part behind the colon is the chance of a kill, freeze or error, or the seconds of a sleep. With
`TENURE_FAILPOINTS_SEED` the dice are repeatable. Unarmed, one costs a dictionary look-up.
"""

import asyncio
import random
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

FailPoint = Literal[
    "consumer.after_poll",
    "consumer.after_begin",
    "consumer.before_state",
    "consumer.after_state",
    "consumer.before_commit",
    "consumer.after_commit",
    "request.before_commit",
    "request.after_commit",
    "relay.before_write",
    "relay.after_write",
    "relay.after_delete",
    "intake.before_write",
    "intake.after_write",
    "effect.before_call",
    "effect.after_call",
]
FAIL_POINTS: tuple[str, ...] = get_args(FailPoint)
ACTIONS = ("kill", "freeze", "sleep", "error")


class Injected(ConnectionError):
    """The error that an armed fail-point raises: a cut connection, as far as callers can tell."""


@dataclass(frozen=True, slots=True)
class Armed:
    action: str
    amount: float


def parse(text: str) -> dict[str, Armed]:
    """Reads the environment's form; an unknown name or action is a `ValueError`."""
    armed: dict[str, Armed] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, what = part.partition("=")
        action, _, amount = what.partition(":")
        if name not in FAIL_POINTS or action not in ACTIONS:
            raise ValueError(f"TENURE_FAILPOINTS: {part!r} names no fail-point and action")
        armed[name] = Armed(action, float(amount or 1))
    return armed


class FailPoints:
    """The armed fail-points of one process."""

    def __init__(self, armed: Mapping[str, Armed], seed: int | None = None) -> None:
        self._armed = dict(armed)
        self._dice = random.Random(seed)

    def arm(self, name: FailPoint, action: str, amount: float = 1.0) -> None:
        self._armed[name] = Armed(action, amount)

    def disarm(self, name: FailPoint) -> None:
        self._armed.pop(name, None)

    async def reach(self, name: FailPoint) -> None:
        """Does what is armed here, if anything."""
        armed = self._armed.get(name)
        if armed is None:
            return
        if armed.action == "sleep":
            await asyncio.sleep(armed.amount)
        elif self._dice.random() < armed.amount:
            self._strike(name, armed.action)

    @staticmethod
    def _strike(name: str, action: str) -> None:
        if action == "kill":
            signal.pthread_kill(threading.get_ident(), signal.SIGKILL)
        elif action == "freeze":
            # To this thread, so that not one more instruction of it runs.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        else:
            raise Injected(name)


def from_environment(environment: Mapping[str, str]) -> FailPoints:
    """The fail-points that the environment arms; none by default."""
    seed = environment.get("TENURE_FAILPOINTS_SEED")
    return FailPoints(parse(environment.get("TENURE_FAILPOINTS", "")), int(seed) if seed else None)
