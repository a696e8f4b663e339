"""What leaves ingest: each event once, under one id per person, whatever was sent and killed."""

import asyncio
import json
from typing import Any

import pytest

from services.ingest.handlers import admit
from services.ingest.handlers.opening import open_bundle
from services.ingest.main import build
from services.ingest.store import conflicts, identities
from shared.clock import EventClock, ManualClock
from shared.events.commerce import OrderCompleted, OrderRefunded
from shared.events.engagement import CustomerMerged, PageViewed
from shared.events.support import TicketOpened, TicketResolved
from shared.events.topics import RECEIVED
from shared.runtime.log import Outgoing
from shared.runtime.outbox import Row
from shared.testing.builders import NOON
from shared.testing.harness import Running, running
from tests.integration.ingest.posting import order, post, record_of, seen, tell, visit


@pytest.fixture
async def service(database_url: str) -> Any:
    async with running(build, database_url, clock=ManualClock(NOON)) as started:
        yield started


async def test_the_same_event_three_times_and_its_order_under_another_id_count_once(
    service: Running,
) -> None:
    await tell(service, *[order(id="e-1")] * 3, order(id="e-2"), order("o-2", id="e-3"))

    assert [one.id for one in service.published(OrderCompleted)] == ["e-1", "e-3"]
    assert service.dead() == []


async def test_a_repeated_order_within_one_request_counts_once(service: Running) -> None:
    await tell(service, {"events": [order(id="e-1"), order(id="e-2"), order(id="e-1")]})

    assert [one.id for one in service.published(OrderCompleted)] == ["e-1"]


async def test_refunds_and_tickets_count_once_by_their_own_names(service: Running) -> None:
    refund = {"order_id": "o-1", "refund_id": "r-1", "amount": "5", "currency": "GBP"}
    ticket = {"ticket_id": "t-1", "channel": "email"}
    await tell(
        service,
        {
            "events": [
                {"type": "order.refunded", "customer_id": "c-1", "data": refund},
                {"type": "order.refunded", "customer_id": "c-1", "data": refund},
                {
                    "type": "order.refunded",
                    "customer_id": "c-1",
                    "data": refund | {"refund_id": "r-2"},
                },
                {"type": "ticket.opened", "customer_id": "c-1", "data": ticket},
                {"type": "ticket.opened", "customer_id": "c-1", "data": ticket},
                {"type": "ticket.resolved", "customer_id": "c-1", "data": {"ticket_id": "t-1"}},
            ]
        },
    )

    assert [one.data.refund_id for one in service.published(OrderRefunded)] == ["r-1", "r-2"]
    assert len(service.published(TicketOpened)) == 1
    assert len(service.published(TicketResolved)) == 1


async def test_a_ticket_that_is_reopened_and_resolved_again_counts_again(service: Running) -> None:
    def told(kind: str, hour: int, **data: Any) -> dict[str, Any]:
        data = {"ticket_id": "t-1"} | data
        at = f"2026-03-01T{hour:02}:00:00Z"
        return {"type": f"ticket.{kind}", "customer_id": "c-1", "occurred_at": at, "data": data}

    history = [
        told("opened", 8, channel="email"),
        told("resolved", 9, satisfaction=5),
        told("opened", 10, channel="email"),
        told("resolved", 11, satisfaction=1),
    ]

    await tell(service, *history, *history)

    assert len(service.published(TicketOpened)) == 2
    assert [one.data.satisfaction for one in service.published(TicketResolved)] == [5, 1]


async def test_a_known_id_with_other_content_is_a_dead_letter(service: Running) -> None:
    await tell(service, visit(id="e-1"), visit(id="e-1", data={"url": "/other"}))

    assert len(service.published(PageViewed)) == 1
    assert [one["tenure-dead-kind"] for one in service.dead()] == ["ConflictingContent"]


async def test_the_visits_of_a_visitor_become_the_customers_when_both_are_named(
    service: Running,
) -> None:
    await tell(service, seen("v", id="e-1"), seen("v", "c", id="e-2"), seen("v", id="e-3"))

    subjects = {one.id: (one.subject, one.alias) for one in service.published(PageViewed)}
    assert subjects == {"e-1": ("v", None), "e-2": ("c", None), "e-3": ("c", "v")}
    (merged,) = service.published(CustomerMerged)
    assert (merged.subject, merged.data.survivor_id, merged.cause) == ("v", "c", "e-2")
    of_visitor = [
        one.header("tenure-type") for one in service.log.records("ingest.events") if one.key == b"v"
    ]
    assert of_visitor == ["page.viewed", "customer.merged"]


async def test_a_visitor_first_seen_with_its_customer_is_told_before_it_acts_alone(
    service: Running,
) -> None:
    await tell(service, seen("v", "c"), seen("v"))

    assert [(one.subject, one.data.survivor_id) for one in service.published(CustomerMerged)] == [
        ("v", "c")
    ]
    assert {one.subject for one in service.published(PageViewed)} == {"c"}


async def test_identity_answers_for_every_id_of_a_person(service: Running) -> None:
    await tell(
        service,
        seen("v", id="e-1"),
        seen("v", "c", id="e-2"),
        seen("w", "c", id="e-3"),
        seen("v", "d", id="e-4"),
    )

    for name in ("v", "w", "c"):
        reply = await service.client.get(
            f"/v1/customers/{name}/identity", headers=service.key("read")
        )
        assert reply.status_code == 200
        told = reply.json()
        assert told["customer_id"] == "c"
        assert {(one["id"], one["known"]) for one in told["ids"]} == {
            ("c", True),
            ("v", False),
            ("w", False),
        }
        links = {one["id"]: one for one in told["links"]}
        assert links["v"]["merged"]
        assert links["v"]["event_id"] == "e-2"
        assert not links["w"]["merged"]
        (conflict,) = told["conflicts"]
        assert (conflict["customer_id"], conflict["kept_id"]) == ("d", "c")


async def test_a_customer_who_has_as_many_visitors_as_may_be_gets_no_more(
    database_url: str,
) -> None:
    async with running(build, database_url, settings={"identity_links_max": 2}) as service:
        await tell(service, *(seen(f"v-{n}", "till") for n in range(3)), seen("v-2"))

        reply = await service.client.get("/v1/customers/till/identity", headers=service.key("read"))
        told = reply.json()
        assert [one["id"] for one in told["links"]] == ["v-0", "v-1"]
        (conflict,) = told["conflicts"]
        assert (conflict["anonymous_id"], conflict["kept_id"]) == ("v-2", "v-2")
        assert len(service.published(CustomerMerged)) == 2
        assert sum(one.subject == "v-2" for one in service.published(PageViewed)) == 1
        alone = await service.client.get("/v1/customers/v-2/identity", headers=service.key("read"))
        assert alone.json()["customer_id"] == "v-2"


@pytest.mark.parametrize(("shown", "truncated"), [(3, False), (2, True)])
async def test_an_identity_tells_whether_it_shows_all_ids(
    database_url: str, shown: int, truncated: bool
) -> None:
    async with running(build, database_url, settings={"identity_rows_max": shown}) as service:
        await tell(service, seen("v", "c"), seen("w", "c"))

        reply = await service.client.get("/v1/customers/c/identity", headers=service.key("read"))

        assert len(reply.json()["ids"]) == shown
        assert reply.json()["truncated"] is truncated


async def test_links_are_counted_by_index_and_no_further_than_may_be(database_url: str) -> None:
    async with running(build, database_url, consume=False) as service:
        async with service.context.transaction() as tx:
            await tx.driver.execute(
                "INSERT INTO identities (id, canonical_id, parent_id, known, appeared, "
                "first_seen_at, linked_at, linked_by) SELECT 'v-' || n, 'till-' || n % 500, "
                "'till-' || n % 500, false, true, now(), now(), 'e' "
                "FROM generate_series(1, 5000) AS n"
            )
            await tx.driver.execute("ANALYZE identities")
        async with service.context.read() as session:
            plan = await session.driver.fetch(f"EXPLAIN {identities.LINKS}", ["till-1"], 5)
            counted = await identities.links(session.driver, ["till-1", "c"], 5)
    assert "identities_absorbed" in "\n".join(line for (line,) in plan)
    assert counted == {"till-1": 5, "c": 0}


async def test_an_id_nobody_named_has_no_identity(service: Running) -> None:
    reply = await service.client.get("/v1/customers/nobody/identity", headers=service.key("read"))

    assert reply.status_code == 404


async def test_replicas_that_link_one_visitor_at_once_agree_on_the_first_event(
    database_url: str,
) -> None:
    async with running(build, database_url, consume=False) as service:

        async def link(customer: str) -> list[Row]:
            events = [
                message.event
                for serial in range(20)
                for message in opened(seen(f"v-{serial}", customer, id=f"{customer}-{serial}"))
            ]
            async with service.context.transaction() as tx:
                await admit.admit(tx, events, now=NOON)
                return list(tx.leaving)

        async def visits() -> list[Row]:
            events = [
                message.event
                for serial in reversed(range(20))
                for message in opened(seen(f"v-{serial}", id=f"v-{serial}"))
            ]
            async with service.context.transaction() as tx:
                await admit.admit(tx, events, now=NOON)
                return list(tx.leaving)

        done = await asyncio.gather(visits(), link("c-1"), link("c-2"), link("c-3"))

        async with service.context.read() as session:
            found = await identities.load(session.driver, [f"v-{n}" for n in range(20)])
            against = await conflicts.of_ids(session.driver, list(found), 1_000)
        # All happened at noon, so the smallest event id counts, whoever was quickest.
        assert {one.canonical_id for one in found.values()} == {"c-1"}
        assert len(against) == 40
        # Told as it is stored: what was merged and not unmerged again.
        told = [json.loads(row.value or b"") for rows in done for row in rows]
        moves = [
            (one["type"], one["subject"], one["data"]["survivor_id"])
            for one in told
            if one["type"] != "page.viewed"
        ]
        ended = {(name, of) for kind, name, of in moves if kind == "customer.unmerged"}
        made = {(name, of) for kind, name, of in moves if kind == "customer.merged"}
        assert len(moves) == len(made) + len(ended)
        assert ended < made
        assert made - ended == {(name, "c-1") for name in found}


def opened(event: dict[str, Any]) -> Any:
    return open_bundle(record_of(event))


@pytest.mark.parametrize("batch", [1, 3, 1_000])
async def test_the_borders_of_batches_change_nothing(database_url: str, batch: int) -> None:
    """One partition's worth of events, in batches of any size, leaves the same records."""
    settings = {"batch_records_max": batch}
    async with running(build, database_url, settings=settings, consume=False) as service:
        events = [
            seen("v-1", id="e-1"),
            order("o-1", id="e-2"),
            seen("v-1", "c-1", id="e-3"),
            seen("v-2", "c-1", id="e-4"),
            order("o-1", id="e-5"),
            seen("v-1", "c-2", id="e-6"),
            seen("v-1", id="e-7"),
        ]
        rows: list[Row] = []
        for start in range(0, len(events), batch):
            part = [one.event for one in open_bundle(record_of(*events[start : start + batch]))]
            async with service.context.transaction() as tx:
                await admit.admit(tx, part, now=NOON)
                rows += tx.leaving

        assert [(row.key, _id(row)) for row in rows] == [
            (b"v-1", "e-1"),
            (b"c-1", "e-2"),
            (b"v-1", "merged"),
            (b"c-1", "e-3"),
            (b"v-2", "merged"),
            (b"c-1", "e-4"),
            (b"c-2", "e-6"),
            (b"c-1", "e-7"),
        ]


def _id(row: Row) -> str:
    event = json.loads(row.value or b"{}")
    return "merged" if event["type"] == "customer.merged" else str(event["id"])


async def test_a_hostile_line_in_a_bundle_is_dead_and_its_neighbours_are_admitted(
    service: Running,
) -> None:
    good = [visit(id=f"e-{n}") for n in range(3)]
    value = record_of(*good[:2], {"type": "moon.landed"}, good[2]).value
    await service.log.append(
        [Outgoing(RECEIVED.name, b"c-1", b"not a bundle"), Outgoing(RECEIVED.name, b"c-1", value)]
    )
    await service.settle()

    assert {one.id for one in service.published(PageViewed)} == {"e-0", "e-1", "e-2"}
    assert len(service.dead()) == 2


async def test_a_backfill_moves_the_event_clock_and_a_refusal_does_not(database_url: str) -> None:
    clock = EventClock()
    async with running(build, database_url, clock=clock) as service:
        await post(
            service,
            {
                "events": [
                    order(id="e-1", occurred_at="2010-12-01T08:26:00Z"),
                    visit(occurred_at="2999-01-01T00:00:00Z"),
                ]
            },
        )
        await service.settle()

        assert clock.now().isoformat() == "2010-12-01T08:26:00+00:00"
        await tell(service, visit(id="e-2"))
        (untimed,) = service.published(PageViewed)
        assert untimed.time == clock.now()
