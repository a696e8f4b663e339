"""Orders on the log become a ledger, exactly once and whatever the order."""

from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from services.loyalty.main import build
from shared.clock import EventClock, ManualClock
from shared.events.commerce import OrderCancelled, OrderCompleted, OrderRefunded
from shared.events.engagement import CustomerErased, CustomerMerged, CustomerUnmerged
from shared.events.envelope import Event
from shared.events.loyalty import PointsAwarded, PointsExpired, PointsReversed, TierChanged
from shared.testing.builders import NOON, event
from shared.testing.harness import Running, in_batches, running
from shared.testing.memory_log import MemoryLog

DAY = timedelta(days=1)
TABLES = {
    "accounts": "customer_id",
    "entries": "customer_id, seq",
    "lots": "customer_id, id",
    "lot_allocations": "customer_id, lot_id, entry_id",
    "orders": "order_id",
    "refunds": "order_id, refund_id",
}


async def balance(service: Running, customer: str = "c-1") -> dict[str, int]:
    reply = await service.client.get(f"/v1/members/{customer}", headers=service.key("read"))
    assert reply.status_code == 200, reply.text
    found: dict[str, int] = reply.json()["balance"]
    return found


async def books(service: Running) -> dict[str, list[dict[str, Any]]]:
    async with service.context.read() as session:
        return {
            name: [
                dict(row)
                for row in await session.driver.fetch(f"SELECT * FROM {name} ORDER BY {key}")
            ]
            for name, key in TABLES.items()
        }


async def audit(service: Running) -> dict[str, Any]:
    reply = await service.client.get("/v1/audit", headers=service.key("read"))
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def test_an_order_becomes_points_that_can_be_read(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(event(OrderCompleted, total="12.99"))
        assert await balance(service) == {
            "active": 12,
            "pending": 0,
            "reserved": 0,
            "debt": 0,
            "spendable": 12,
        }
        (awarded,) = service.published(PointsAwarded)
        assert (awarded.subject, awarded.data.points, awarded.data.balance) == ("c-1", 12, 12)
        assert (await audit(service))["ok"]


async def test_the_same_order_under_other_event_ids_counts_once(database_url: str) -> None:
    async with running(build, database_url) as service:
        first = event(OrderCompleted)
        await service.feed(first, first)
        await service.feed(first, event(OrderCompleted))
        assert (await balance(service))["active"] == 10
        assert len(service.published(PointsAwarded)) == 1


async def test_equal_event_ids_of_two_sources_are_two_causes(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(
            event(OrderCompleted, id="1", source="/sources/a", order_id="a"),
            event(OrderCompleted, id="1", source="/sources/b", order_id="b"),
        )
        assert (await balance(service))["active"] == 20
        assert len({one.id for one in service.published(PointsAwarded)}) == 2


async def test_a_refund_before_its_order_waits_for_it(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(event(OrderRefunded, amount="4", order_id="o-9"))
        assert service.published(PointsReversed) == []
        await service.feed(event(OrderCompleted, order_id="o-9"))
        assert (await balance(service))["active"] == 6
        assert (await audit(service))["ok"]


async def test_a_refund_that_names_another_id_reverses_the_original_award(
    database_url: str,
) -> None:
    async with running(build, database_url) as service:
        await service.feed(event(OrderCompleted, customer="guest"))
        await service.feed(event(OrderRefunded, customer="c-1"))
        assert (await balance(service, "guest"))["active"] == 0
        assert (await audit(service))["ok"]


async def test_a_refund_after_the_rule_changed_reverses_what_was_awarded(
    database_url: str,
) -> None:
    async with running(build, database_url) as service:
        await service.feed(event(OrderCompleted, total="90"))
    doubled = {"earning_rules": [{"name": "double", "points_per_unit": 2}]}
    async with running(build, database_url, settings=doubled, log=service.log) as service:
        await service.feed(event(OrderRefunded, amount="30"))
        assert (await balance(service))["active"] == 60
        await service.feed(event(OrderCompleted, order_id="o-2", total="5"))
        assert (await balance(service))["active"] == 70


def history() -> list[Event]:
    events: list[Event] = []
    for n in range(40):
        at = NOON + 17 * n * DAY
        who = f"c-{n % 3}"
        events.append(
            event(OrderCompleted, customer=who, order_id=f"o-{n}", total=f"{n * 13}.5", at=at)
        )
        if n % 4 == 0:
            events.append(
                event(
                    OrderRefunded, customer=who, order_id=f"o-{n}", amount=f"{n * 4}", at=at + DAY
                )
            )
        if n % 9 == 5:
            events.append(event(OrderCancelled, customer=who, order_id=f"o-{n}", at=at + DAY))
    return events


@pytest.mark.parametrize("size", [1, 7])
async def test_the_ledger_does_not_depend_on_where_batches_end(
    database_url: str, make_database: Any, size: int
) -> None:
    events = history()
    merged = event(CustomerMerged, customer="c-0", survivor_id="c-1", at=NOON + 700 * DAY)
    later = event(OrderCompleted, customer="c-1", order_id="late", total="5", at=NOON + 760 * DAY)
    results = []
    for url, pieces in ((database_url, in_batches(events, size)), (make_database(), [events])):
        async with running(build, url, clock=EventClock()) as service:
            for piece in pieces:
                await service.feed(*piece)
            await service.feed(merged)
            await service.feed(later)
            assert (await audit(service))["ok"]
            told = sorted(
                service.published(PointsAwarded, PointsReversed, PointsExpired, TierChanged),
                key=lambda one: one.id,
            )
            results.append((await books(service), told))
    assert results[0] == results[1]


async def test_jobs_that_run_often_or_never_make_no_difference(
    database_url: str, make_database: Any
) -> None:
    events = [one for one in history() if one.subject == "c-1"]
    results = []
    for url, often in ((database_url, True), (make_database(), False)):
        async with running(build, url, clock=EventClock()) as service:
            for one in events:
                await service.feed(one)
                if often:
                    await service.run_job("expire_lots")
                    await service.run_job("review_tiers")
            await service.run_job("expire_lots")
            await service.run_job("review_tiers")
            told = service.published(PointsExpired, TierChanged)
            results.append(([one.id for one in told], await balance(service)))
    assert results[0] == results[1]
    assert results[0][0]


async def test_points_expire_by_the_clock(database_url: str) -> None:
    async with running(build, database_url, clock=ManualClock(NOON)) as service:
        await service.feed(event(OrderCompleted))
        service.clock.advance(731 * DAY)
        await service.run_job("expire_lots")
        (expired,) = service.published(PointsExpired)
        assert (expired.data.points, expired.data.balance, expired.time) == (
            10,
            0,
            NOON.replace(year=2028),
        )
        assert (await balance(service))["active"] == 0
        assert (await audit(service))["ok"]


async def test_a_tier_rises_at_once_and_falls_at_a_review(database_url: str) -> None:
    async with running(build, database_url, clock=ManualClock(NOON)) as service:
        await service.feed(event(OrderCompleted, total="1200"))
        await service.feed(event(OrderRefunded, amount="600"))
        await service.run_job("review_tiers")
        service.clock.advance(32 * DAY)
        await service.run_job("review_tiers")
        changes = [(one.data.previous, one.data.current) for one in service.published(TierChanged)]
        assert changes == [("bronze", "silver"), ("silver", "bronze")]
        reply = await service.client.get("/v1/members/c-1", headers=service.key("read"))
        assert reply.json()["tier"] == "bronze"
        assert reply.json()["next_tier"] == {
            "name": "silver",
            "points": 1000,
            "missing_points": 400,
        }


async def test_merged_ids_are_one_member_and_unmerging_undoes_it_exactly(
    database_url: str,
) -> None:
    async with running(build, database_url) as service:
        await service.feed(
            event(OrderCompleted, customer="c-1", order_id="a", total="600"),
            event(OrderCompleted, customer="c-2", order_id="b", total="700"),
        )
        before = await books(service)
        await service.feed(event(CustomerMerged, customer="c-2", survivor_id="c-1"))
        for one in ("c-1", "c-2"):
            reply = await service.client.get(f"/v1/members/{one}", headers=service.key("read"))
            member = reply.json()
            assert (member["customer_id"], member["linked_ids"]) == ("c-1", ["c-2"])
            assert (member["balance"]["active"], member["tier"]) == (1300, "silver")
        await service.feed(event(CustomerUnmerged, customer="c-2", survivor_id="c-1"))
        assert (await balance(service, "c-1"))["active"] == 600
        assert (await balance(service, "c-2"))["active"] == 700
        assert await books(service) == before


async def test_an_erased_person_leaves_amounts_but_no_name(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(
            event(OrderCompleted, customer="c-1", order_id="a"),
            event(OrderCompleted, customer="c-2", order_id="b"),
            event(CustomerMerged, customer="c-2", survivor_id="c-1"),
        )
        reply = await service.client.post(
            "/v1/members/c-1/awards",
            json={"points": 5, "reason": "Ada complained"},
            headers=service.key("operate") | {"Idempotency-Key": "k"},
        )
        assert reply.status_code == 201, reply.text
        await service.feed(event(CustomerErased, customer="c-1"))
        reply = await service.client.get("/v1/members/c-1", headers=service.key("read"))
        assert reply.status_code == 404
        everything = str(await books(service))
        assert "Ada" not in everything
        assert "'c-1'" not in everything
        assert "'c-2'" not in everything
        result = await audit(service)
        assert result["ok"], result
        assert result["entries"] == 3


@pytest.mark.parametrize("table", ["entries", "lot_allocations"])
@pytest.mark.parametrize(
    "statement", ["UPDATE {} SET customer_id = 'x'", "DELETE FROM {}", "TRUNCATE {}"]
)
async def test_lines_of_the_ledger_cannot_be_changed_or_removed(
    database_url: str, table: str, statement: str
) -> None:
    async with running(build, database_url) as service:
        await service.feed(event(OrderCompleted))
        service.clock.advance(800 * DAY)
        await service.run_job("expire_lots")
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            async with service.context.transaction() as tx:
                await tx.driver.execute(statement.format(table))


async def test_an_entry_out_of_balance_is_refused_by_the_database(database_url: str) -> None:
    async with running(build, database_url) as service:
        with pytest.raises(asyncpg.CheckViolationError, match="entries_balanced"):
            async with service.context.transaction() as tx:
                await tx.driver.execute(
                    "INSERT INTO entries (customer_id, seq, id, kind, cause, reason, occurred_at,"
                    " booked_at, active) VALUES ('c', 1, gen_random_uuid(), 'award', 'x', 'x',"
                    " now(), now(), 5)"
                )


async def test_the_audit_finds_a_planted_difference(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(event(OrderCompleted))
        async with service.context.transaction() as tx:
            await tx.driver.execute("UPDATE accounts SET active = active + 1")
        result = await audit(service)
        failed = {check["name"]: check for check in result["checks"] if not check["ok"]}
        assert not result["ok"]
        assert failed.keys() == {"balances_equal_entries", "balances_equal_lots"}
        assert failed["balances_equal_lots"]["first"][0]["customer_id"] == "c-1"


async def test_two_replicas_that_meet_on_one_new_order_both_count(database_url: str) -> None:
    ids = [f"c-{place}" for place in range(40)]
    orders = [
        event(OrderCompleted, customer=customer, order_id=f"o-{customer}", total="40.00")
        for customer in ids
    ]
    # A refund that names another id of the person lies in another partition than its order.
    refunds = [
        event(OrderRefunded, customer=f"x-{customer}", order_id=f"o-{customer}", amount="10.00")
        for customer in ids
    ]
    log = MemoryLog()
    async with (
        running(build, database_url, log=log) as service,
        running(build, database_url, log=log, replica="1"),
    ):
        for order, refund in zip(orders, refunds, strict=True):
            await service.put(order, refund)
        await service.settle()
        assert service.dead() == []
        for customer in ids:
            assert (await balance(service, customer))["active"] == 30
        assert (await audit(service))["ok"]
