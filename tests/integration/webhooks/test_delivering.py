"""From an event to a verified webhook: once, whatever crashes, is repeated, erased or forgotten."""

import asyncio
import base64
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.clock import EventClock, ManualClock, wall_now
from shared.events.commerce import OrderCompleted, OrderRefunded
from shared.events.engagement import CustomerErased, CustomerUpdated
from shared.events.envelope import Event
from shared.events.loyalty import PointsAwarded
from shared.runtime.failpoints import Injected
from shared.testing.builders import NOON, event
from shared.testing.harness import Running, in_batches
from shared.testing.memory_log import MemoryLog
from shared.testing.receiver import Behaviour, Receiver, receiving
from tests.integration.webhooks.conftest import Open, deliveries_of, get, log_of, post, register

POINTS: dict[str, Any] = {"entry_id": "en-1", "points": 12, "balance": 12, "reason": "1 a unit"}


async def test_an_event_arrives_signed_once_at_each_endpoint_that_wants_it(
    open_service: Open, receiver: Receiver
) -> None:
    async with open_service() as service, receiving(now_seconds=NOON.timestamp) as other:
        await register(service, receiver, "order.*", "points.awarded")
        await register(service, other, "order.refunded")
        order = event(OrderCompleted, customer="c-1", total="12.99")
        await service.feed(order)
        await service.feed(event(PointsAwarded, customer="c-1", **POINTS))
        await service.feed(event(OrderRefunded, customer="c-2"))
        await service.feed(order)
        await service.run_job("deliver_due")
        assert [one["type"] for one in other.events()] == ["order.refunded"]
        told = {one["type"]: one for one in receiver.events()}
        assert set(told) == {"order.completed", "points.awarded", "order.refunded"}
        assert len(receiver.calls) == len(receiver.verified) == 3
        assert told["order.completed"]["data"]["total"] == "12.99"
        assert told["order.completed"]["customer_id"] == "c-1"
        assert told["order.completed"]["id"] == order.id
        sequences = [told[one]["sequence"] for one in ("order.completed", "points.awarded")]
        assert sequences == [1, 2]
        assert told["order.refunded"]["sequence"] == 1


async def test_results_do_not_depend_on_where_batches_end(
    open_service: Open, make_database: Any
) -> None:
    events: list[Event] = [
        event(OrderCompleted, customer=f"c-{number % 3}", id=f"e-{number}") for number in range(20)
    ]
    events.insert(12, event(CustomerErased, customer="c-1", id="gone"))
    found = []
    for size in (1, 7, 21):
        async with receiving() as receiver, open_service(url=make_database()) as service:
            await register(service, receiver)
            for batch in in_batches(events, size):
                await service.feed(*batch)
            async with service.context.read() as session:
                rows = await session.driver.fetch(
                    "SELECT m.id, m.subject, m.sequence, m.body, d.status FROM messages m "
                    "JOIN deliveries d ON d.message_id = m.id ORDER BY m.id"
                )
            found.append([tuple(row) for row in rows])
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 21


@pytest.mark.parametrize("moment", ["effect.before_call", "effect.after_call"])
async def test_a_crash_around_the_call_repeats_it_under_the_same_id(
    open_service: Open, receiver: Receiver, moment: Any
) -> None:
    async with open_service(lease_seconds=60) as service:
        endpoint = await register(service, receiver)
        await service.feed(event(OrderCompleted))
        service.failpoints.arm(moment, "error")
        await service.run_job("deliver_due")
        service.failpoints.disarm(moment)
        before = [call.message_id for call in receiver.calls]
        service.clock.advance(timedelta(seconds=59))
        await service.run_job("deliver_due")
        assert [call.message_id for call in receiver.calls] == before
        service.clock.advance(timedelta(seconds=1))
        await service.run_job("deliver_due")
        ids = [call.message_id for call in receiver.calls]
        assert len(ids) == len(before) + 1
        assert len(set(ids)) == 1
        [delivery] = await deliveries_of(service, endpoint)
        assert delivery["status"] == "delivered"


async def test_outcomes_that_could_not_be_recorded_are_recorded_by_the_next_run(
    open_service: Open, receiver: Receiver
) -> None:
    async with open_service() as service:
        endpoint = await register(service, receiver)
        await service.feed(event(OrderCompleted))
        job = next(one for one in service.service.jobs if one.name == "deliver_due")
        await job.run(service.context, service.clock.now())
        await receiver.wait_for(1)
        service.failpoints.arm("request.before_commit", "error")
        with pytest.raises(Injected):
            await service.run_job("deliver_due")
        service.failpoints.disarm("request.before_commit")
        await service.run_job("deliver_due")
        assert len(receiver.calls) == 1
        [delivery] = await deliveries_of(service, endpoint)
        assert delivery["status"] == "delivered"


async def test_replicas_share_the_work_without_sending_twice(
    open_service: Open, receiver: Receiver
) -> None:
    log, clock = MemoryLog(), ManualClock(NOON)
    async with (
        open_service(log=log, clock=clock, calls_per_endpoint_max=4) as one,
        open_service(log=log, clock=clock, calls_per_endpoint_max=4, replica="1") as two,
    ):
        await register(one, receiver)
        orders = [event(OrderCompleted, customer=f"c-{number}") for number in range(200)]
        await one.feed(*orders)

        async def work(service: Running) -> None:
            await service.run_job("deliver_due")

        await asyncio.gather(work(one), work(two))
        await one.run_job("deliver_due")
        assert len(receiver.calls) == 200
        assert {body["id"] for body in receiver.events()} == {order.id for order in orders}


async def test_erasure_takes_the_content_and_stops_what_was_under_way(
    open_service: Open, receiver: Receiver
) -> None:
    async with open_service() as service:
        endpoint = await register(service, receiver, "customer.*", "order.*")
        receiver.then(Behaviour(status=500), Behaviour(status=500))
        traits = event(CustomerUpdated, customer="c-1", email="canary@example.org")
        await service.feed(traits, event(OrderCompleted, customer="c-2"))
        await service.run_job("deliver_due")
        await service.feed(event(CustomerErased, customer="c-1"))
        service.clock.advance(timedelta(seconds=10))
        await service.run_job("deliver_due")
        later = [call.json() for call in receiver.calls][2:]
        assert sorted((one["type"], one["customer_id"]) for one in later) == [
            ("customer.erased", "c-1"),
            ("order.completed", "c-2"),
        ]
        by_type = {one["event_type"]: one for one in await deliveries_of(service, endpoint)}
        cancelled = by_type["customer.updated"]
        assert (cancelled["status"], cancelled["reason"]) == ("cancelled", "customer erased")
        assert (await get(service, f"/v1/deliveries/{cancelled['id']}"))["payload"] is None
        reply = await service.client.post(
            f"/v1/deliveries/{cancelled['id']}/resend", headers=service.key("operate")
        )
        assert reply.status_code == 409
        async with service.context.read() as session:
            bodies = await session.driver.fetch("SELECT body::text, subject FROM messages")
        assert not any(b"canary".hex() in str(row["body"]) for row in bodies)


async def test_retention_removes_what_is_old_with_its_attempts(
    open_service: Open, receiver: Receiver
) -> None:
    async with open_service(retention_days=30) as service:
        endpoint = await register(service, receiver)
        await service.feed(event(OrderCompleted, customer="c-1"))
        await service.run_job("deliver_due")
        service.clock.advance(timedelta(days=20))
        await service.feed(event(OrderCompleted, customer="c-2"))
        await service.run_job("deliver_due")
        service.clock.advance(timedelta(days=11))
        await service.run_job("forget_old")
        [left] = await deliveries_of(service, endpoint)
        assert left["created_at"].startswith("2026-03-22")
        async with service.context.read() as session:
            assert await session.driver.fetchval("SELECT count(*) FROM attempts") == 1
            assert await session.driver.fetchval("SELECT count(*) FROM messages") == 1


async def test_a_delivery_sent_again_has_the_same_id_and_a_schedule_of_its_own(
    open_service: Open, receiver: Receiver
) -> None:
    async with open_service() as service:
        endpoint = await register(service, receiver)
        await service.feed(event(OrderCompleted))
        await service.run_job("deliver_due")
        [delivery] = await deliveries_of(service, endpoint)
        receiver.then(Behaviour(status=500))
        again = await post(service, f"/v1/deliveries/{delivery['id']}/resend", "operate")
        assert (again["status"], again["lane"]) == ("pending", "again")
        await service.run_job("deliver_due")
        service.clock.advance(timedelta(seconds=6))
        await service.run_job("deliver_due")
        assert len(receiver.calls) == 3
        assert len({call.message_id for call in receiver.calls}) == 1
        log = await log_of(service, delivery)
        assert [(one["number"], one["lane"], one["status_code"]) for one in log] == [
            (1, "live", 200),
            (2, "again", 500),
            (3, "again", 200),
        ]


async def test_deliveries_follow_the_wall_while_the_platform_replays_history(
    open_service: Open,
) -> None:
    past = EventClock(NOON - timedelta(days=4_000))
    async with open_service(clock=past) as service, receiving() as receiver:
        endpoint = await register(service, receiver)
        receiver.then(Behaviour(status=500))
        await service.feed(event(OrderCompleted, at=NOON - timedelta(days=4_000)))
        await service.run_job("deliver_due")
        await service.feed(event(OrderCompleted, at=NOON - timedelta(days=3_000)))
        await service.run_job("deliver_due")
        assert len(receiver.calls) == 2, "years of history do not bring the retry nearer"
        assert all(call.verified for call in receiver.calls)
        [pending] = await deliveries_of(service, endpoint, status="pending")
        wait = datetime.fromisoformat(pending["next_attempt_at"]) - wall_now()
        assert timedelta(0) < wait < timedelta(seconds=7)


async def test_calls_in_flight_at_the_end_of_a_process_are_waited_for_and_recorded(
    open_service: Open, receiver: Receiver
) -> None:
    log = MemoryLog()
    async with open_service(log=log) as service:
        endpoint = await register(service, receiver)
        await service.feed(event(OrderCompleted))
        receiver.always(Behaviour(hang=True))
        job = next(one for one in service.service.jobs if one.name == "deliver_due")
        await job.run(service.context, service.clock.now())
        await receiver.wait_for(1)
        receiver.release()
    async with open_service(log=log) as service:
        [delivery] = await deliveries_of(service, endpoint)
        assert delivery["status"] == "delivered"
        await service.run_job("deliver_due")
        assert len(receiver.calls) == 1


async def test_a_secret_that_cannot_be_opened_stops_its_endpoint_only(
    open_service: Open, receiver: Receiver
) -> None:
    log = MemoryLog()
    async with open_service(log=log) as service:
        lost = await register(service, receiver)
    other_key = base64.b64encode(b"k" * 32).decode()
    async with open_service(log=log, secret_key=other_key) as service:
        found = await register(service, receiver)
        await service.feed(event(OrderCompleted))
        await service.run_job("deliver_due")
        [failed] = await deliveries_of(service, lost)
        [fine] = await deliveries_of(service, found)
        assert (failed["status"], failed["reason"]) == ("pending", "unsigned")
        assert fine["status"] == "delivered"
        assert len(receiver.verified) == len(receiver.calls) == 1
