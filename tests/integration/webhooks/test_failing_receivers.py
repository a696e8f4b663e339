"""Receivers that fail, hang, throttle or go: what they get, and what it costs the others."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from services.webhooks.domain.delivery import WAITS_SECONDS, Outcome
from services.webhooks.handlers.courier import Call
from services.webhooks.store.leases import Lease
from shared.events.commerce import OrderCompleted, OrderRefunded
from shared.events.webhooks import (
    DeliveryExhausted,
    DeliveryFailing,
    DeliveryRecovered,
    EndpointDisabled,
)
from shared.testing.builders import NOON, event
from shared.testing.memory_log import MemoryLog
from shared.testing.receiver import Behaviour, Receiver, receiving
from tests.integration.webhooks.conftest import Open, deliveries_of, get, log_of, register

POINTS: dict[str, Any] = {"entry_id": "en-1", "points": 12, "balance": 12, "reason": "1 a unit"}


async def test_every_failure_is_logged_as_what_it_is_and_tried_again(
    open_service: Open, receiver: Receiver
) -> None:
    async with open_service(call_seconds_max=0.5) as service:
        endpoint = await register(service, receiver)
        receiver.then(
            Behaviour(reset=True),
            Behaviour(status=500),
            Behaviour(hang=True),
            Behaviour(status=302, headers={"Location": "http://169.254.169.254/"}),
        )
        await service.feed(event(OrderCompleted))
        for wait in (0, *WAITS_SECONDS[:4]):
            service.clock.advance(timedelta(seconds=wait * 1.3))
            await service.run_job("deliver_due")
        [delivery] = await deliveries_of(service, endpoint)
        log = await log_of(service, delivery)
        assert [(one["status_code"], one["failure"]) for one in log] == [
            (None, "reset"),
            (500, "status"),
            (None, "timeout"),
            (302, "redirect"),
            (200, None),
        ]
        assert delivery["status"] == "delivered"
        assert delivery["attempts"] == 5
        assert len({call.message_id for call in receiver.calls}) == 1
        assert len({call.headers["webhook-timestamp"] for call in receiver.calls}) == 5
        assert len({call.body for call in receiver.calls}) == 1


async def test_a_receiver_that_is_away_is_a_refused_call(open_service: Open) -> None:
    async with open_service() as service:
        async with receiving() as receiver:
            endpoint = await register(service, receiver)
        await service.feed(event(OrderCompleted))
        await service.run_job("deliver_due")
        [delivery] = await deliveries_of(service, endpoint)
        [attempt] = await log_of(service, delivery)
        assert attempt["failure"] == "refused"
        assert delivery["status"] == "pending"
        assert delivery["reason"] == "refused"


async def test_retry_after_holds_the_whole_endpoint_back(
    open_service: Open, receiver: Receiver
) -> None:
    async with open_service() as service:
        await register(service, receiver)
        receiver.then(Behaviour(status=429, headers={"Retry-After": "120"}))
        await service.feed(event(OrderCompleted, customer="c-1"))
        await service.run_job("deliver_due")
        await service.feed(event(OrderCompleted, customer="c-2"))
        service.clock.advance(timedelta(seconds=119))
        await service.run_job("deliver_due")
        assert len(receiver.calls) == 1
        service.clock.advance(timedelta(seconds=1))
        await service.run_job("deliver_due")
        assert len(receiver.calls) == 3


@pytest.mark.parametrize(
    "date",
    ["Mon, 02 Mar 99999999999 12:00:00 GMT", "Mon, 02 Mar 2026 12:00:00 +99999999999999999"],
)
async def test_an_impossible_retry_after_is_a_failure_like_any_other(
    open_service: Open, receiver: Receiver, date: str
) -> None:
    async with open_service() as service:
        endpoint = await register(service, receiver)
        receiver.then(Behaviour(status=503, headers={"Retry-After": date}))
        await service.feed(event(OrderCompleted, customer="c-1"))
        await service.run_job("deliver_due")
        [delivery] = await deliveries_of(service, endpoint)
        assert (delivery["status"], delivery["attempts"]) == ("pending", 1)


def call_of(delivery: dict[str, Any]) -> Call:
    lease = Lease(
        delivery["id"],
        delivery["endpoint_id"],
        delivery["message_id"],
        "order.completed",
        0,
        0,
        b"",
    )
    return Call(lease, "", [], NOON)


async def test_an_outcome_that_cannot_be_recorded_holds_up_no_other(
    open_service: Open, receiver: Receiver
) -> None:
    """One with words that the database refuses, one with a number; between and after them, good
    ones. What cannot be kept is as after a crash."""
    outcomes = (
        Outcome(500, "status", 1, answer="a\x00b"),
        Outcome(200, None, 1),
        Outcome(500, "status", 10**12),
        Outcome(200, None, 1),
    )
    async with open_service() as service:
        endpoint = await register(service, receiver)
        await service.feed(*(event(OrderCompleted, customer=f"c-{one}") for one in range(4)))
        courier = service.context.resources.courier
        listed = await deliveries_of(service, endpoint)
        for delivery, outcome in zip(listed, outcomes, strict=True):

            async def make(_: Call, outcome: Outcome = outcome) -> Outcome:
                return outcome

            courier.start(call_of(delivery), make)
        await courier.drain(5.0)
        await service.run_job("deliver_due")
        assert courier.idle
        await service.run_job("deliver_due")
        found = [(one["status"], one["attempts"]) for one in await deliveries_of(service, endpoint)]
        assert found == [("pending", 1), ("delivered", 1), ("delivered", 1), ("delivered", 1)]
        assert len(receiver.calls) == 1, "the call whose outcome was lost is made again"


async def test_nor_does_it_at_the_end_of_a_process(open_service: Open, receiver: Receiver) -> None:
    log = MemoryLog()
    outcomes = (Outcome(200, None, 1), Outcome(500, "status", 10**12))
    async with open_service(log=log) as service:
        endpoint = await register(service, receiver)
        await service.feed(*(event(OrderCompleted, customer=f"c-{one}") for one in range(2)))
        for delivery, outcome in zip(await deliveries_of(service, endpoint), outcomes, strict=True):

            async def make(_: Call, outcome: Outcome = outcome) -> Outcome:
                return outcome

            service.context.resources.courier.start(call_of(delivery), make)
    async with open_service(log=log) as service:
        listed = await deliveries_of(service, endpoint)
        assert [one["status"] for one in listed] == ["delivered", "pending"]


async def test_gone_disables_the_endpoint_at_once_and_tells_operators(
    open_service: Open, receiver: Receiver
) -> None:
    async with open_service() as service:
        endpoint = await register(service, receiver, "order.*")
        receiver.then(Behaviour(status=410))
        await service.feed(event(OrderCompleted, customer="c-1"))
        await service.run_job("deliver_due")
        service.clock.advance(timedelta(seconds=1))
        await service.feed(event(OrderCompleted, customer="c-2"))
        await service.run_job("deliver_due")
        assert len(receiver.calls) == 1
        [disabled] = service.published(EndpointDisabled)
        assert disabled.data.endpoint_id == endpoint["id"]
        seen = await get(service, f"/v1/endpoints/{endpoint['id']}")
        assert seen["enabled"] is False
        assert "410" in seen["disabled_reason"]
        first, waiting = await deliveries_of(service, endpoint)
        assert (first["status"], waiting["status"]) == ("exhausted", "pending")


async def test_the_schedule_ends_and_operators_hear_of_it_on_the_way(
    open_service: Open, receiver: Receiver
) -> None:
    async with open_service() as service:
        endpoint = await register(service, receiver, "order.*")
        receiver.always(Behaviour(status=503))
        await service.feed(event(OrderCompleted))
        await service.run_job("deliver_due")
        for wait in WAITS_SECONDS:
            service.clock.advance(timedelta(seconds=wait * 1.2 + 1))
            await service.run_job("deliver_due")
        service.clock.advance(timedelta(days=3))
        await service.run_job("deliver_due")
        assert len(receiver.calls) == 10
        [delivery] = await deliveries_of(service, endpoint)
        assert delivery["status"] == "exhausted"
        [failing] = service.published(DeliveryFailing)
        [exhausted] = service.published(DeliveryExhausted)
        assert (failing.data.attempts, exhausted.data.attempts) == (4, 10)
        assert service.published(EndpointDisabled) == []
        receiver.always(Behaviour())
        await service.feed(event(OrderCompleted, customer="c-2"))
        await service.run_job("deliver_due")
        assert len(service.published(DeliveryRecovered)) == 1


async def test_an_endpoint_that_fails_long_and_often_is_disabled(
    open_service: Open, receiver: Receiver
) -> None:
    async with open_service(disable_failures_min=5) as service:
        await register(service, receiver, "order.*")
        receiver.always(Behaviour(status=500))
        for day in range(6):
            await service.feed(event(OrderCompleted, customer=f"c-{day}"))
            await service.run_job("deliver_due")
            service.clock.advance(timedelta(days=1))
        await service.run_job("deliver_due")
        assert len(service.published(EndpointDisabled)) == 1


async def test_operator_events_reach_other_endpoints_and_never_feed_themselves(
    open_service: Open, receiver: Receiver
) -> None:
    async with open_service() as service, receiving(now_seconds=NOON.timestamp) as watcher:
        await register(service, receiver)
        await register(service, watcher, "delivery.*", "endpoint.disabled")
        for one in (receiver, watcher):
            one.always(Behaviour(status=500))
        await service.feed(event(OrderCompleted))
        for _ in range(12):
            await service.run_job("deliver_due")
            service.clock.advance(timedelta(days=2))
        types = {call.json()["type"] for call in watcher.calls}
        assert types == {"delivery.failing", "delivery.exhausted", "endpoint.disabled"}
        told = {call.json()["type"] for call in receiver.calls}
        assert told <= {"order.completed", "endpoint.disabled"}
        assert len(service.published(DeliveryFailing)) == 1
        assert len(service.published(DeliveryExhausted)) == 1


async def test_a_hanging_endpoint_delays_nobody_else(
    open_service: Open, receiver: Receiver
) -> None:
    limits = {"calls_in_flight_max": 8, "calls_per_endpoint_max": 3, "call_seconds_max": 5.0}
    async with open_service(**limits) as service, receiving(now_seconds=NOON.timestamp) as stuck:
        await register(service, stuck)
        await register(service, receiver)
        stuck.always(Behaviour(hang=True))
        await service.feed(*(event(OrderCompleted, customer=f"c-{one}") for one in range(30)))
        job = asyncio.create_task(service.run_job("deliver_due"))
        await receiver.wait_for(30, seconds_max=3.0)
        assert len(stuck.calls) == 3
        assert not job.done()
        stuck.always(Behaviour())
        stuck.release()
        await job
        assert len(stuck.events()) == 30
        assert stuck.in_flight_max <= 3


async def test_many_endpoints_that_hang_leave_room_for_the_others(
    open_service: Open, receiver: Receiver
) -> None:
    """As when a host with many endpoints goes away: each has few slots, but there are many."""
    limits = {"calls_in_flight_max": 8, "call_seconds_max": 30.0}
    async with open_service(**limits) as service, receiving(now_seconds=NOON.timestamp) as stuck:
        for _ in range(6):
            await register(service, stuck, "order.refunded")
        async with service.context.transaction() as tx:
            await tx.driver.execute("UPDATE endpoints SET failures = 5")
        await register(service, receiver, "order.completed")
        stuck.always(Behaviour(hang=True))
        await service.feed(*(event(OrderRefunded, customer=f"c-{one}") for one in range(4)))
        job = asyncio.create_task(service.run_job("deliver_due"))
        await stuck.wait_for(4)
        await service.put(*(event(OrderCompleted, customer=f"c-{one}") for one in range(20)))
        await receiver.wait_for(20)
        assert len(stuck.calls) == 4
        stuck.always(Behaviour())
        stuck.release()
        await job
        assert len(stuck.calls) == 24


async def test_a_rate_limit_is_kept(open_service: Open, receiver: Receiver) -> None:
    async with open_service() as service:
        await register(service, receiver, rate_per_second=5)
        await service.feed(*(event(OrderCompleted, customer=f"c-{one}") for one in range(20)))
        counts = []
        for _ in range(4):
            await service.run_job("deliver_due")
            counts.append(len(receiver.calls))
            service.clock.advance(timedelta(seconds=1))
        assert counts == [5, 10, 15, 20]


async def test_an_endless_answer_is_cut_and_a_slow_one_does_not_hold_the_slot(
    open_service: Open, receiver: Receiver
) -> None:
    async with open_service(answer_seconds_max=0.2) as service:
        endpoint = await register(service, receiver)
        receiver.then(
            Behaviour(body_bytes=10_000_000), Behaviour(body_bytes=1_000, drip_seconds=0.05)
        )
        await service.feed(event(OrderCompleted, customer="c-1"))
        await service.run_job("deliver_due")
        await service.feed(event(OrderCompleted, customer="c-2"))
        await service.run_job("deliver_due")
        logs = [await log_of(service, one) for one in await deliveries_of(service, endpoint)]
        sizes = [one["answer_bytes"] for [one] in logs]
        assert max(sizes) == 16_384
        assert min(sizes) < 100
        assert all(one["failure"] is None for [one] in logs)
        assert all(one["answer"] is None for [one] in logs), (
            "answers of private addresses stay unread"
        )


async def test_an_endpoint_that_keeps_failing_holds_few_slots(
    open_service: Open, receiver: Receiver
) -> None:
    async with open_service(call_seconds_max=0.3, retry_waits_seconds="1,1,1") as service:
        endpoint = await register(service, receiver)
        receiver.always(Behaviour(hang=True))
        await service.feed(*(event(OrderCompleted, customer=f"c-{one}") for one in range(5)))
        await service.run_job("deliver_due")
        assert len(receiver.calls) == 5
        service.clock.advance(timedelta(seconds=2))
        job = next(one for one in service.service.jobs if one.name == "deliver_due")
        await job.run(service.context, service.clock.now())
        await receiver.wait_for(7)
        assert len(receiver.calls) == 7
        await service.run_job("deliver_due")
        assert len(receiver.calls) == 10
        assert [one["attempts"] for one in await deliveries_of(service, endpoint)] == [2] * 5
