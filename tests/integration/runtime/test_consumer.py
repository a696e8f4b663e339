"""The batch consumer on real PostgreSQL: once, in order, past poison, within bounds."""

from collections.abc import Sequence

import pytest

from shared.events.commerce import OrderCompleted
from shared.events.loyalty import PointsAwarded
from shared.events.topics import EVENTS
from shared.runtime.log import LogReader, Outgoing, TopicPartition
from shared.runtime.metrics import REGISTRY
from shared.testing.builders import event
from shared.testing.harness import Running, running
from shared.testing.memory_log import MemoryLog, MemoryReader
from tests.integration.runtime.counting import POISON, build


async def counts(service: Running) -> dict[str, int]:
    async with service.context.read() as session:
        rows = await session.driver.fetch("SELECT customer_id, orders FROM counts")
    return {row["customer_id"]: row["orders"] for row in rows}


async def test_an_event_is_counted_and_its_consequence_published(database_url: str) -> None:
    async with running(build, database_url) as service:
        order = event(OrderCompleted, customer="c-1", order_id="o-1")
        await service.feed(order)
        assert await counts(service) == {"c-1": 1}
        (awarded,) = service.published(PointsAwarded)
        assert awarded.cause == order.id


async def test_an_event_that_comes_again_changes_nothing(database_url: str) -> None:
    async with running(build, database_url) as service:
        order = event(OrderCompleted, customer="c-1", order_id="o-1")
        await service.feed(order, order)
        await service.feed(order)
        assert await counts(service) == {"c-1": 1}
        assert len(service.published(PointsAwarded)) == 1


async def test_a_batch_of_repeats_only_is_counted_under_its_topic(database_url: str) -> None:
    def repeated() -> float:
        labels = {"topic": "ingest.events", "outcome": "duplicate"}
        return REGISTRY.get_sample_value("tenure_consumer_events_total", labels) or 0.0

    async with running(build, database_url) as service:
        order, before = event(OrderCompleted), repeated()
        await service.feed(order)
        await service.feed(order)
        assert repeated() - before == 1


async def test_the_same_id_with_other_content_is_a_dead_letter(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(event(OrderCompleted, id="same", order_id="o-1"))
        await service.feed(event(OrderCompleted, id="same", order_id="o-2"))
        assert await counts(service) == {"c-1": 1}
        (letter,) = service.dead()
        assert letter["tenure-dead-kind"] == "ConflictingContent"


@pytest.mark.parametrize("place", [0, 7, 49])
async def test_a_poisoned_event_is_set_aside_alone(database_url: str, place: int) -> None:
    orders = [event(OrderCompleted, customer=f"c-{n % 5}", order_id=f"o-{n}") for n in range(50)]
    orders[place] = event(OrderCompleted, customer="c-0", order_id=POISON)
    async with running(build, database_url) as service:
        await service.feed(*orders)
        assert sum((await counts(service)).values()) == 49
        (letter,) = service.dead()
        assert letter["tenure-dead-kind"] == "ZeroDivisionError"
        assert letter["tenure-original-topic"] == "ingest.events"
        assert letter["tenure-event-id"] == orders[place].id


async def test_too_many_dead_letters_stop_the_consumer(database_url: str) -> None:
    orders = [event(OrderCompleted, order_id=f"{POISON}-{n}") for n in range(40)]
    async with running(build, database_url) as service:
        await service.put(*orders)
        with pytest.raises(AssertionError, match="ZeroDivisionError"):
            await service.settle()
        assert "restart loyalty" in (service.health.unready() or "")
        assert len(service.dead()) < 20


async def test_clients_that_reuse_ids_do_not_stop_the_consumer(database_url: str) -> None:
    first = [event(OrderCompleted, id=f"e-{n}", order_id=f"o-{n}") for n in range(40)]
    reused = [event(OrderCompleted, id=f"e-{n}", order_id=f"other-{n}") for n in range(40)]
    async with running(build, database_url) as service:
        await service.feed(*first)
        await service.feed(*reused)
        assert await counts(service) == {"c-1": 40}
        assert len(service.dead()) == 40


class AheadReader(MemoryReader):
    """Hands over what it fetched from a position ahead of ours, until it is told to seek."""

    async def take(self, partitions: frozenset[TopicPartition]) -> None:
        await super().take(partitions)
        self._at = {one: min(at + 7, self._log.end(one)) for one, at in self._at.items()}


class AheadLog(MemoryLog):
    """A broker that knows a later offset of the group than the database does."""

    def reader(self, topics: Sequence[str], *, group: str | None, member: str) -> LogReader:
        return AheadReader(self, topics, group, member)


async def test_records_fetched_from_ahead_of_the_position_are_not_taken(database_url: str) -> None:
    log = AheadLog()
    orders = [event(OrderCompleted, customer="c-1", order_id=f"o-{n:02}") for n in range(20)]
    await log.append([Outgoing(EVENTS.name, one.subject.encode(), one.to_json()) for one in orders])
    async with running(build, database_url, log=log) as service:
        await service.settle()
        async with service.context.read() as session:
            seen = await session.driver.fetchval("SELECT seen FROM counts")
    assert seen == [f"o-{n:02}" for n in range(20)]
