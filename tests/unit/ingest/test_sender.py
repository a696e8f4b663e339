"""Group commit: what is written together, and what is answered when the broker is away."""

import asyncio
from collections.abc import Sequence

import pytest

from services.ingest.sender import Busy, Sender
from shared.runtime.log import LogUnavailable, Outgoing


class Broker:
    """A writer whose acknowledgements come when the test says so."""

    def __init__(self) -> None:
        self.writes: list[list[bytes]] = []
        self.started = 0
        self.stopped = 0
        self.failure: Exception | None = None
        self.acknowledging = asyncio.Event()
        self.acknowledging.set()
        self.writing = asyncio.Event()

    async def start(self) -> None:
        self.started += 1

    async def write(self, records: Sequence[Outgoing]) -> None:
        self.writes.append([record.value or b"" for record in records])
        self.writing.set()
        await self.acknowledging.wait()
        if self.failure is not None:
            raise self.failure

    def partition_of(self, topic: str, key: bytes) -> int:
        return len(topic) + len(key)

    async def stop(self) -> None:
        self.stopped += 1


def sender_on(
    broker: Broker, *, in_flight: int = 1_000, per_write: int = 1_000, seconds: float = 60.0
) -> Sender:
    return Sender(
        broker, in_flight_bytes_max=in_flight, write_bytes_max=per_write, write_seconds_max=seconds
    )


def records(*values: bytes) -> list[Outgoing]:
    return [Outgoing("t", b"k", value) for value in values]


async def held_up(broker: Broker, sender: Sender) -> "asyncio.Task[None]":
    """A request whose write is under way and not acknowledged."""
    broker.acknowledging.clear()
    broker.writing.clear()
    first = asyncio.create_task(sender.write(records(b"first")))
    await broker.writing.wait()
    return first


async def test_what_arrives_during_a_write_leaves_together_in_the_next() -> None:
    broker = Broker()
    sender = sender_on(broker)
    first = await held_up(broker, sender)

    others = [asyncio.create_task(sender.write(records(b"%d" % n))) for n in range(5)]
    await asyncio.sleep(0)
    broker.acknowledging.set()
    await asyncio.gather(first, *others)

    assert broker.writes == [[b"first"], [b"0", b"1", b"2", b"3", b"4"]]
    assert broker.started == 1


async def test_one_write_is_bounded_and_keeps_the_order_of_arrival() -> None:
    broker = Broker()
    sender = sender_on(broker, per_write=10)
    first = await held_up(broker, sender)

    others = [asyncio.create_task(sender.write(records(b"%04d" % n))) for n in range(5)]
    await asyncio.sleep(0)
    broker.acknowledging.set()
    await asyncio.gather(first, *others)

    assert broker.writes[1:] == [[b"0000", b"0001"], [b"0002", b"0003"], [b"0004"]]


async def test_nobody_is_answered_before_the_acknowledgement() -> None:
    broker = Broker()
    sender = sender_on(broker)
    first = await held_up(broker, sender)

    assert not first.done()
    broker.acknowledging.set()
    await first


async def test_all_requests_of_a_failed_write_are_told() -> None:
    broker = Broker()
    sender = sender_on(broker)
    first = await held_up(broker, sender)
    second = asyncio.create_task(sender.write(records(b"second")))
    await asyncio.sleep(0)
    broker.failure = LogUnavailable("away")
    broker.acknowledging.set()

    outcomes = await asyncio.gather(first, second, return_exceptions=True)

    assert [type(one) for one in outcomes] == [LogUnavailable, LogUnavailable]
    broker.failure = None
    await sender.write(records(b"third"))


async def test_while_the_broker_is_away_one_request_tries_and_the_others_are_told_at_once() -> None:
    broker = Broker()
    broker.failure = LogUnavailable("away")
    sender = sender_on(broker)
    with pytest.raises(LogUnavailable):
        await sender.write(records(b"first"))
    trying = await held_up(broker, sender)

    with pytest.raises(LogUnavailable):
        await sender.write(records(b"second"))

    broker.failure = None
    broker.acknowledging.set()
    await trying
    assert broker.writes == [[b"first"], [b"first"]]


async def test_who_waited_too_long_is_told_and_what_has_not_left_never_leaves() -> None:
    broker = Broker()
    sender = sender_on(broker, seconds=0.02)
    first = await held_up(broker, sender)
    second = asyncio.create_task(sender.write(records(b"second")))

    outcomes = await asyncio.gather(first, second, return_exceptions=True)

    assert [type(one) for one in outcomes] == [LogUnavailable, LogUnavailable]
    with pytest.raises(LogUnavailable, match="away"):
        await sender.write(records(b"third"))  # told at once, not after its time
    broker.acknowledging.set()
    await sender.close(10.0)
    assert broker.writes == [[b"first"]]


async def test_a_client_that_went_away_does_not_disturb_the_others() -> None:
    broker = Broker()
    sender = sender_on(broker)
    first = await held_up(broker, sender)
    second = asyncio.create_task(sender.write(records(b"second")))
    await asyncio.sleep(0)

    first.cancel()
    broker.acknowledging.set()

    await second
    assert broker.writes == [[b"first"], [b"second"]]


async def test_bytes_in_flight_are_bounded_and_given_back() -> None:
    sender = sender_on(Broker(), in_flight=100)

    with sender.hold() as first:
        first.take(60)
        with sender.hold() as second, pytest.raises(Busy):
            second.take(41)
        first.take(40)
    with sender.hold() as third:
        third.take(100)


async def test_closing_waits_for_what_is_under_way() -> None:
    broker = Broker()
    sender = sender_on(broker)
    first = await held_up(broker, sender)

    closing = asyncio.create_task(sender.close(10.0))
    await asyncio.sleep(0)
    assert broker.stopped == 0
    broker.acknowledging.set()
    await asyncio.gather(first, closing)

    assert broker.stopped == 1


async def test_closing_gives_up_on_a_broker_that_never_answers() -> None:
    broker = Broker()
    sender = sender_on(broker)
    first = await held_up(broker, sender)

    await sender.close(0.01)

    with pytest.raises(LogUnavailable):
        await first
    assert broker.stopped == 1


async def test_a_sender_that_was_never_used_never_connects() -> None:
    broker = Broker()

    await sender_on(broker).close(10.0)

    assert (broker.started, broker.stopped) == (0, 0)


async def test_strangers_share_a_part_of_the_room_until_they_are_known() -> None:
    broker = Broker()
    sender = Sender(
        broker,
        in_flight_bytes_max=100,
        write_bytes_max=100,
        write_seconds_max=60.0,
        strangers_bytes_max=30,
    )
    with sender.hold_stranger() as first, sender.hold_stranger() as second:
        first.take(20)
        with pytest.raises(Busy):
            second.take(20)
        with sender.hold() as known:
            known.take(60)
        first.introduce()
        second.take(30)
        first.take(50)
        with pytest.raises(Busy):
            first.take(1)
    with sender.hold_stranger() as third, sender.hold() as known:
        third.take(30)
        known.take(70)
