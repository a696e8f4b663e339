"""What a visitor did before it was known counts for the customer, in scores and points, and goes
with it again: from the door of ingest to the states of the others."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from services.ingest.main import build as build_ingest
from services.loyalty.main import build as build_loyalty
from services.scoring.main import build as build_scoring
from shared.clock import ManualClock
from shared.testing.builders import NOON
from shared.testing.harness import Running, running
from shared.testing.memory_log import MemoryLog
from tests.integration.ingest.deciding import ask, do
from tests.integration.ingest.posting import order, seen, tell
from tests.integration.scoring.test_scoring import PINNED, assessment


@dataclass(slots=True)
class Shop:
    """Three services on one log."""

    ingest: Running
    scoring: Running
    loyalty: Running

    async def tell(self, *events: dict[str, Any]) -> None:
        await tell(self.ingest, *events)
        await self.settle()

    async def settle(self) -> None:
        for service in (self.ingest, self.scoring, self.loyalty):
            await service.settle()

    async def standing(self, customer: str) -> tuple[str, int]:
        """What a person has spent, and how many points they have."""
        scored = await assessment(self.scoring, customer)
        member = await ask(self.loyalty, f"/members/{customer}")
        return str(scored.clv.historic), member["balance"]["active"] + member["balance"]["pending"]


@pytest.fixture
async def shop(database_url: str, make_database: Any) -> AsyncIterator[Shop]:
    log, clock = MemoryLog(), ManualClock(NOON)
    async with AsyncExitStack() as stack:
        ingest = await stack.enter_async_context(
            running(build_ingest, database_url, clock=clock, log=log)
        )
        scoring = await stack.enter_async_context(
            running(build_scoring, make_database(), clock=clock, log=log, settings=PINNED)
        )
        loyalty = await stack.enter_async_context(
            running(build_loyalty, make_database(), clock=clock, log=log)
        )
        yield Shop(ingest, scoring, loyalty)


def bought(order_id: str, total: str, **who: Any) -> dict[str, Any]:
    placed = order(order_id, id=f"e-{order_id}", **{"customer_id": None, **who})
    placed["data"]["total"] = total
    return placed


async def test_the_past_of_a_visitor_counts_for_the_customer_and_leaves_with_it(
    shop: Shop,
) -> None:
    await shop.tell(
        bought("o-1", "40.00", anonymous_id="v"), bought("o-2", "60.00", customer_id="c")
    )
    apart = (await shop.standing("v"), await shop.standing("c"))

    await shop.tell(seen("v", "c", id="e-3"))
    together = await shop.standing("c")
    await shop.tell(bought("o-4", "5.00", anonymous_id="v"))
    (merge,) = (await ask(shop.ingest, "/customers/v/merges"))["items"]
    await do(shop.ingest, f"/merges/{merge['id']}/undo")
    await shop.settle()

    assert apart == (("40.00", 40), ("60.00", 60))
    assert together == ("100.00", 100)
    assert (await shop.standing("v"), await shop.standing("c")) == (("45.00", 45), ("60.00", 60))


async def test_customers_whom_an_alias_joins_are_one_everywhere_and_two_again(shop: Shop) -> None:
    await shop.tell(
        bought("o-1", "40.00", customer_id="old"),
        bought("o-2", "60.00", customer_id="new"),
        bought("o-3", "7.00", anonymous_id="v", customer_id="old"),
    )
    made = await do(shop.ingest, "/customers/new/aliases", 201, previous_id="old")
    await shop.settle()
    await shop.tell(bought("o-4", "3.00", customer_id="old"))
    joined = await shop.standing("new")

    await do(shop.ingest, f"/merges/{made['merge']['id']}/undo")
    await shop.settle()

    assert joined == ("110.00", 110)
    assert await shop.standing("old") == ("50.00", 50)
    assert await shop.standing("new") == ("60.00", 60)
