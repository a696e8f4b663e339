"""The law of who is who, on PostgreSQL: persons follow from what was said and decided, whatever
came first, came twice, or came in which batches; and who only hears what is told agrees."""

import json
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from services.ingest.handlers import admit, merging
from services.ingest.handlers.merging import Joined, Request
from services.ingest.handlers.opening import open_bundle
from services.ingest.main import build
from services.ingest.store import merges
from shared.testing.builders import NOON
from shared.testing.harness import Running, running
from tests.integration.ingest.posting import record_of, seen

CUSTOMERS, VISITORS = "abcde", "uvwxyz"
ALIASES = (("a", "b"), ("b", "c"), ("d", "c"))
ENDED_ALIAS = ("b", "c")
PARTED = "z"


def said(dice: random.Random) -> list[dict[str, Any]]:
    """Visits of visitors, alone or with customers; some name a visitor as a customer. One visitor
    is with `a` first, so that there is a link to undo."""
    events = [_visit(dice, serial) for serial in range(30)]
    return [*events, _event("z", "a", -1, "first")]


def _visit(dice: random.Random, serial: int) -> dict[str, Any]:
    customer = dice.choice([None, *CUSTOMERS, *"uv"])
    visitor = dice.choice(VISITORS[:-1] if customer in ("u", "v") else VISITORS)
    if customer == visitor:
        customer = None
    return _event(visitor, customer, dice.randrange(8), f"e-{serial}")


def _event(visitor: str, customer: str | None, minute: int, name: str) -> dict[str, Any]:
    at = (NOON + timedelta(minutes=minute)).isoformat()
    traits = {"email": f"{customer}@example.com" if customer in (None, "a") else "e@example.com"}
    if customer is not None and minute == 0:
        told = {"type": "customer.updated", "data": traits}
        return seen(visitor, customer, id=name, occurred_at=at) | told
    return seen(visitor, customer, id=name, occurred_at=at)


class Telling:
    """One telling of the history, under ids of its own, with what a listener has by then."""

    def __init__(self, service: Running, prefix: str) -> None:
        self._service = service
        self._prefix = prefix
        self.leads_to: dict[str, str] = {}

    async def hear(self, events: Sequence[dict[str, Any]]) -> None:
        named = [
            one | {key: self._own(one[key]) for key in ("id", "customer_id", "anonymous_id")}
            for one in events
        ]
        for one in named:
            if one["type"] == "customer.updated":
                one["data"] = {"email": f"{self._prefix}{one['data']['email']}"}
        async with self._service.context.transaction() as tx:
            await admit.admit(tx, [one.event for one in open_bundle(record_of(*named))], now=NOON)
            self._listen(tx.leaving)

    async def decide(self, deed: str, *names: str) -> None:
        request = Request("/keys/test", NOON, NOON)
        async with self._service.context.transaction() as tx:
            if deed == "alias":
                done = await merging.alias(
                    tx, self._own(names[0]), self._own(names[1]), rejoin=False, request=request
                )
                assert isinstance(done, Joined)
            else:
                through = "event" if deed == "part" else "alias"
                found = await merges.in_force(tx.driver, [self._own(names[0])], 10)
                (one,) = [each for each in found if each.through == through]
                await merging.undo(tx, one.id, request=request)
            self._listen(tx.leaving)

    async def ended(self) -> dict[str, str]:
        async with self._service.context.read() as session:
            rows = await session.driver.fetch(
                "SELECT id, canonical_id FROM identities WHERE starts_with(id, $1)", self._prefix
            )
        size = len(self._prefix)
        stored = {row["id"]: row["canonical_id"] for row in rows}
        assert stored == {one: self._follow(one) for one in stored}
        return {one[size:]: to[size:] for one, to in stored.items()}

    def _follow(self, name: str) -> str:
        """Where an id leads: a visitor to its customer, who may have been joined to another."""
        while name in self.leads_to:
            name = self.leads_to[name]
        return name

    def _own(self, name: str | None) -> Any:
        return None if name is None else f"{self._prefix}{name}"

    def _listen(self, leaving: Sequence[Any]) -> None:
        for row in leaving:
            event = json.loads(row.value)
            name, of = event["subject"], event["data"].get("survivor_id")
            if event["type"] == "customer.merged":
                assert name not in self.leads_to
                self.leads_to[name] = of
            elif event["type"] == "customer.unmerged":
                assert self.leads_to.pop(name) == of


@pytest.mark.parametrize("seed", range(8))
async def test_any_order_of_events_and_decisions_ends_in_the_same_persons(
    database_url: str, tmp_path: Any, seed: int
) -> None:
    settings = {"identity_traits": "email", "TENURE_DATA_DIR": tmp_path}
    dice = random.Random(seed)
    events = said(dice)
    results = []
    async with running(build, database_url, settings=settings, consume=False) as service:
        for serial in range(4):
            telling = Telling(service, f"{serial}.")
            steps: list[Any] = [*events, *dice.choices(events, k=10)]
            steps += [("alias", *pair) for pair in ALIASES]
            if serial:
                dice.shuffle(steps)
            _place(steps, ("end", *ENDED_ALIAS), ("alias", *ENDED_ALIAS), dice)
            _place(steps, ("part", PARTED), events[-1], dice)
            await _tell(telling, steps, dice.choice([1, 3, 50]))
            results.append(await telling.ended())

    assert len(set(results[0].values())) > 2
    assert results[0][PARTED] == PARTED
    assert all(result == results[0] for result in results)


def _place(steps: list[Any], deed: Any, after: Any, dice: random.Random) -> None:
    """Puts a deed anywhere behind what it takes back."""
    steps.insert(dice.randint(steps.index(after) + 1, len(steps)), deed)


async def _tell(telling: Telling, steps: Sequence[Any], batch: int) -> None:
    waiting: list[dict[str, Any]] = []
    for step in steps:
        if isinstance(step, dict):
            waiting.append(step)
        if waiting and (len(waiting) == batch or not isinstance(step, dict)):
            await telling.hear(waiting)
            waiting = []
        if not isinstance(step, dict):
            await telling.decide(*step)
    if waiting:
        await telling.hear(waiting)
