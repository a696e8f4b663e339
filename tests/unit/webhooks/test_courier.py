"""Calls in flight: slots, and outcomes that must not get lost."""

import asyncio

from services.webhooks.domain.delivery import Outcome
from services.webhooks.handlers.courier import Call, Courier, Make
from services.webhooks.store.leases import Lease
from shared.ids import DeliveryId, EndpointId
from shared.testing.builders import NOON

TAKEN = Outcome(200, None, 1)


def call(number: int, endpoint: str = "ep_1") -> Call:
    lease = Lease(
        DeliveryId(f"dlv_{number}"), EndpointId(endpoint), "msg_1", "order.completed", 0, 1, b"{}"
    )
    return Call(lease, "https://shop.example/", [b"k" * 32], NOON)


def until(released: asyncio.Event) -> Make:
    async def make(_: Call) -> Outcome:
        await released.wait()
        return TAKEN

    return make


async def at_once(_: Call) -> Outcome:
    return TAKEN


async def crash(_: Call) -> Outcome:
    raise ConnectionError


async def test_a_call_that_ends_after_others_were_recorded_is_still_to_be_recorded() -> None:
    courier, released = Courier(10, 10), asyncio.Event()
    courier.start(call(1), until(released))
    courier.start(call(2), at_once)
    await courier.landing(5)
    first = courier.finished()
    assert [one.call.lease.id for one in first] == ["dlv_2"]
    courier.recorded(first)
    released.set()
    await courier.landing(5)
    assert [one.call.lease.id for one in courier.finished()] == ["dlv_1"]
    assert not courier.idle


async def test_slots_are_counted_by_endpoint_and_in_all() -> None:
    courier, released = Courier(3, 2), asyncio.Event()
    for number in range(2):
        courier.start(call(number), until(released))
    assert courier.full() == ["ep_1"]
    assert (courier.free, courier.free_of(EndpointId("ep_1"))) == (1, 0)
    assert courier.free_of(EndpointId("ep_2")) == 2
    released.set()
    await courier.drain(5)
    assert (courier.free, courier.full()) == (3, [])


async def test_a_crashed_call_frees_its_slot_and_has_no_outcome() -> None:
    courier = Courier(1, 1)
    courier.start(call(1), crash)
    await courier.landing(5)
    assert courier.idle
    assert courier.free == 1


async def test_draining_cuts_what_takes_too_long() -> None:
    courier = Courier(2, 2)
    courier.start(call(1), until(asyncio.Event()))
    courier.start(call(2), at_once)
    await courier.drain(0.01)
    assert [one.call.lease.id for one in courier.finished()] == ["dlv_2"]
