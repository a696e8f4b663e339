"""Two ids that were one person by mistake: undone, each has its own history and figures again."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from services.insights.main import build
from shared.events.commerce import OrderCompleted, OrderRefunded
from shared.events.engagement import (
    CustomerMerged,
    CustomerUnmerged,
    CustomerUpdated,
    PageViewed,
)
from shared.events.envelope import Event
from shared.events.loyalty import PointsAwarded, TierChanged
from shared.testing.builders import event
from shared.testing.harness import Running, in_batches, running
from tests.integration.insights.history import assessed, day, points
from tests.integration.insights.reading import MARCH, overview

_TABLES = ("customers", "orders", "refunds", "cancellations", "standings", "tiers", "people")
# What tells of the mistake itself stays in the history.
_QUERIES = {
    **{table: f"TABLE {table} ORDER BY 1, 2" for table in _TABLES},
    "facts": "SELECT * FROM facts WHERE kind NOT LIKE 'customer.%merged' ORDER BY 1, 2, 3, 4, 5",
    "days": "SELECT * FROM days WHERE kind NOT LIKE 'customer.%merged' ORDER BY 1, 2, 3, 4",
}


def merged() -> Event:
    return event(CustomerMerged, id="m1", customer="b", at=day(3, 2), survivor_id="a")


def parted() -> Event:
    return event(CustomerUnmerged, id="m2", customer="b", at=day(3, 9), survivor_id="a")


def own() -> list[Event]:
    return [
        event(OrderCompleted, id="o1", customer="a", at=day(3, 1), order_id="A1", total="30"),
        assessed("a", day(3, 1, 10), 0.2, "low", "loyal", id="x1"),
        event(PageViewed, id="v1", customer="b", at=day(3, 1)),
        assessed("b", day(3, 1, 10), 0.8, "high", "new", id="x2"),
    ]


def of_b() -> list[Event]:
    """What b did while it passed for a, and the points that it got."""
    told: dict[str, Any] = {"customer": "a", "alias": "b"}
    return [
        event(CustomerUpdated, **told, id="u1", at=day(3, 3), email="b@example.org"),
        event(OrderCompleted, **told, id="o2", at=day(3, 3), order_id="B1", total="7"),
        points(PointsAwarded, 7, **told, id="p1", at=day(3, 3), cause="o2"),
        event(OrderCompleted, **told, id="o3", at=day(3, 4), order_id="B2", total="8"),
        event(OrderRefunded, **told, id="r1", at=day(3, 5), order_id="B2", amount="2"),
    ]


def told_after() -> list[Event]:
    """What loyalty says of each once they are two again."""
    moves = {"previous": "gold", "qualifying_points": 0, "reason": "parted"}
    return [
        event(TierChanged, id="g1", customer="a", at=day(3, 9), current="bronze", **moves),
        event(TierChanged, id="g2", customer="b", at=day(3, 9), current="gold", **moves),
    ]


def by_itself(one: Event) -> Event:
    """As if nobody had ever taken b for a."""
    return one.model_copy(update={"subject": one.alias, "alias": None})


def orders_of_partitions() -> dict[str, list[Event]]:
    """Merges travel with b, what b did with a: either may be ahead, by any distance."""
    return {
        "in order": [merged(), *of_b(), parted()],
        "the merge is late": [*of_b(), merged(), parted()],
        "the events are late": [merged(), parted(), *of_b()],
        "each comes in between": [*of_b()[:2], merged(), *of_b()[2:4], parted(), *of_b()[4:]],
    }


async def seen(url: str, told: Sequence[Event], size: int) -> list[Any]:
    """All that is stored of each, all that is told of all, and who a and b are."""
    async with running(build, url) as service:
        await service.feed(*own())
        for batch in in_batches([*told, *told_after()], size):
            await service.feed(*batch)
        await service.run_job("recount")
        assert service.dead() == []
        async with service.context.read() as session:
            rows = {
                name: [tuple(row) for row in await session.driver.fetch(query)]
                for name, query in _QUERIES.items()
            }
        return [rows, await overview(service, **MARCH), await histories(service)]


async def histories(service: Running) -> dict[str, list[str]]:
    found = {}
    for one in "ab":
        reply = await service.client.get(
            f"/v1/customers/{one}/timeline", headers=service.key("read")
        )
        assert (reply.json()["customer_id"], reply.json()["aliases"]) == (one, [])
        found[one] = [
            entry["event_id"]
            for entry in reply.json()["items"]
            if entry["kind"] not in {"customer.merged", "customer.unmerged"}
        ]
    return found


@pytest.mark.parametrize("order", orders_of_partitions())
async def test_an_undone_merge_leaves_each_its_own_in_any_order_of_partitions(
    make_database: Callable[..., str], order: str
) -> None:
    expected = await seen(make_database(), [by_itself(one) for one in of_b()], 1)
    told = orders_of_partitions()[order]
    for size in (1, len(told)):
        assert await seen(make_database(), told, size) == expected
    _, figures, history = expected
    assert history == {
        "a": ["g1", "x1", "o1"],
        "b": ["g2", "r1", "o3", "u1", "p1", "o2", "x2", "v1"],
    }
    assert figures["loyalty"]["members_by_tier"] == {"bronze": 1, "gold": 1}
    assert figures["customers"]["known"] == 2
