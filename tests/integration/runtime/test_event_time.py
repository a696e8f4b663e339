"""On the event clock, time is moved by what is admitted, and by nothing else."""

from datetime import timedelta

from shared.clock import EventClock
from shared.events.commerce import OrderCompleted
from shared.events.loyalty import PointsAwarded
from shared.testing.builders import NOON, event
from shared.testing.harness import Running, running
from tests.integration.runtime.counting import POISON, build

LATER, MUCH_LATER = NOON + timedelta(hours=1), NOON + timedelta(days=3_000)


async def stored(service: Running) -> object:
    async with service.context.read() as session:
        return await session.driver.fetchval("SELECT now FROM event_clock")


async def test_a_dead_letter_does_not_move_the_time(database_url: str) -> None:
    orders = [
        event(OrderCompleted, at=NOON),
        event(OrderCompleted, order_id=POISON, at=MUCH_LATER),
        event(OrderCompleted, at=LATER),
    ]
    async with running(build, database_url, clock=EventClock()) as service:
        await service.feed(*orders)
        assert len(service.dead()) == 1
        assert service.clock.now() == LATER
        assert await stored(service) == LATER


async def test_an_id_used_again_does_not_move_the_time(database_url: str) -> None:
    async with running(build, database_url, clock=EventClock()) as service:
        await service.feed(event(OrderCompleted, id="same", order_id="o-1", at=NOON))
        await service.feed(event(OrderCompleted, id="same", order_id="o-2", at=MUCH_LATER))
        assert len(service.dead()) == 1
        assert service.clock.now() == NOON
        assert await stored(service) == NOON


async def test_handlers_see_the_time_of_their_own_batch(database_url: str) -> None:
    async with running(build, database_url, clock=EventClock()) as service:
        await service.feed(event(OrderCompleted, at=NOON))
        await service.feed(event(OrderCompleted, at=LATER))
        assert {one.recordedtime for one in service.published(PointsAwarded)} == {NOON, LATER}
