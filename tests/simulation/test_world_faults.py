"""Promises R7, R9, R12, R13, R17 and R18: the database, the broker or an event is not as it should.

The worker runs as a real process; the parts around it are killed, restarted, cut and blocked.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import asyncpg
import httpx
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import TopicPartition

from shared.events.commerce import OrderCompleted
from shared.events.topics import EVENTS
from shared.testing.builders import event
from stack import backing
from stack.ports import free_base
from stack.settings import StackSettings
from tests.fixtures.proxy import COMMIT, Proxy
from tests.integration.runtime.counting import POISON
from tests.simulation.faults import World, expected_counts, history, until

RESUME_SECONDS = 20.0


async def test_the_database_is_killed_and_comes_back(tmp_path: Path, broker: backing.Kafka) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    server = backing.postgres(folder, free_base(), StackSettings(), prefer="embedded")
    server.start()
    world = World(server.url, broker.bootstrap)
    try:
        await world.prepare()
        sent, distinct = history(orders=2_000, customers=50, repeated_every=10)
        world.start("a")
        await world.put(sent[:1_000])
        await until(partial(_counted, world, 100))
        worker = world.workers["a"].pid
        server.kill()
        await world.put(sent[1_000:])
        await until(partial(_unready_for, world, "database"), 30)
        server.start()
        await until(partial(world.settled, len(sent)), RESUME_SECONDS)
        assert world.workers["a"].poll() is None, "the process must wait, not exit"
        assert world.workers["a"].pid == worker
        assert await world.counts() == expected_counts(sent)
        assert len(set(await world.published())) == distinct
    finally:
        world.end()
        server.stop()


async def test_the_broker_is_killed_and_comes_back(world: World, broker: backing.Kafka) -> None:
    sent, distinct = history(orders=2_000, customers=50, repeated_every=10)
    world.start("a")
    await world.put(sent[:1_000])
    await until(partial(_counted, world, 100))
    broker.kill()
    await until(partial(_unready_for, world, "kafka"), 30)
    broker.start()
    await world.put(sent[1_000:])
    await until(partial(world.settled, len(sent)), 60)
    assert world.workers["a"].poll() is None
    assert await world.counts() == expected_counts(sent)
    assert len(set(await world.published())) == distinct


async def test_a_commit_whose_answer_is_lost_counts_once(world: World) -> None:
    sent, distinct = history(orders=600, customers=20, repeated_every=10)
    async with Proxy.before(world.database_url) as proxy:
        world.environment["TENURE_DATABASE_URL"] = proxy.url(world.database_url)
        world.start("a")
        await until(partial(world.ready, "a"), 30)
        proxy.lose_answers(after=COMMIT)
        await world.put(sent)

        async def lost_some() -> bool:
            return proxy.lost >= 5

        await until(lost_some, 60)
        proxy.behave()
        await until(partial(world.settled, len(sent)))
    assert await world.counts() == expected_counts(sent)
    assert len(set(await world.published())) == distinct


async def test_negative_control_retrying_a_lost_commit_blindly_counts_twice(
    world: World,
) -> None:
    """The naive reading of an error at COMMIT: it failed, so do it again."""
    async with Proxy.before(world.database_url) as proxy:
        url = proxy.url(world.database_url)
        proxy.lose_answers(after=COMMIT)
        for attempt in range(2):
            if attempt:
                proxy.behave()
            connection = await asyncpg.connect(url, server_settings={"search_path": "loyalty"})
            try:
                async with connection.transaction():
                    await connection.execute(
                        "INSERT INTO counts (customer_id, orders) VALUES ('c', 1) "
                        "ON CONFLICT (customer_id) DO UPDATE SET orders = counts.orders + 1"
                    )
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                continue
            finally:
                connection.terminate()
    assert await world.counts() == {"c": 2}


async def test_a_consumer_that_stops_moving_is_not_alive(world: World) -> None:
    world.environment["LOYALTY_STALL_SECONDS"] = "3"
    sent, _ = history(orders=200, customers=20)
    world.start("a")
    await world.put(sent)
    await until(partial(world.settled, len(sent)))
    assert (await world.get("a", "/healthz")).status_code == 200
    locked = await asyncpg.connect(world.database_url, server_settings={"search_path": "loyalty"})
    try:
        # Somebody else's open transaction blocks every batch: no error, no progress.
        await locked.execute("BEGIN; LOCK TABLE counts IN ACCESS EXCLUSIVE MODE")
        await world.put([one.model_copy(update={"id": f"n-{one.id}"}) for one in sent[:50]])

        async def dead() -> bool:
            return (await world.get("a", "/healthz")).status_code == 503

        await until(dead, 30)
        reason = (await world.get("a", "/healthz")).json()["reason"]
        assert "no progress on ingest.events" in reason
    finally:
        await locked.close()


async def test_records_deleted_before_they_were_read_stop_the_consumer(world: World) -> None:
    sent, distinct = history(orders=100, customers=20)
    await world.put(sent)
    world.start("a")
    await until(partial(world.settled, len(sent)))
    world.end()
    more = [one.model_copy(update={"id": f"n-{one.id}"}) for one in sent]
    await world.put(more)
    await _delete_everything(world.bootstrap)
    world.start("a")

    async def stopped() -> bool:
        try:
            reply = await world.get("a", "/readyz")
        except httpx.TransportError:  # it is not there yet
            return False
        return reply.status_code == 503 and "retention overtook" in reply.text

    await until(stopped, 60)
    assert sum((await world.counts()).values()) == distinct


async def test_negative_control_a_reader_that_begins_anew_skips_in_silence(world: World) -> None:
    """The textbook setting for a position that is gone: the earliest there is, and no word."""
    world.recipe = "naive"
    sent, distinct = history(orders=100, customers=20)
    await world.put(sent)
    world.start("a")
    await until(partial(_counted, world, distinct))
    world.end()
    await world.put([one.model_copy(update={"id": f"n-{one.id}"}) for one in sent])
    await _delete_everything(world.bootstrap)
    await world.put(last := [one.model_copy(update={"id": f"m-{one.id}"}) for one in sent[:20]])
    world.start("a")
    await until(partial(_counted, world, distinct + len(last)))
    assert world.workers["a"].poll() is None
    assert sum((await world.counts()).values()) < 2 * distinct


async def test_a_poisoned_event_stops_nobody(world: World) -> None:
    sent = _with_one_poisoned()
    await world.put(sent)
    world.start("a")
    await until(partial(world.settled, len(sent)), 60)
    assert sum((await world.counts()).values()) == len(sent) - 1
    assert world.workers["a"].poll() is None


async def test_negative_control_without_halving_one_poisoned_event_stops_everybody(
    world: World,
) -> None:
    world.recipe = "unhalved"
    sent = _with_one_poisoned()
    await world.put(sent)
    world.start("a")

    async def ended() -> bool:
        return world.workers["a"].poll() is not None

    await until(ended, 60)
    world.start("a")
    await until(ended, 60)
    assert not await world.settled(len(sent))


def _with_one_poisoned() -> list[OrderCompleted]:
    sent, _ = history(orders=300, customers=20)
    poisoned = event(OrderCompleted, id="p-1", customer="c-1", order_id=f"{POISON}-1")
    return [*sent[:150], poisoned, *sent[150:]]


EXPAND = "ALTER TABLE {} ADD COLUMN added text, ADD COLUMN more int NOT NULL DEFAULT 1"


async def test_an_old_worker_goes_on_while_the_schema_grows(world: World) -> None:
    """What a newer version adds (expand) must not disturb the one that still runs."""
    sent, distinct = history(orders=600, customers=20, repeated_every=10)
    world.start("a")
    await world.put(sent[:300])
    await until(partial(_counted, world, 100))
    for table in ("counts", "inbox", "outbox", "consumed"):
        await world.query(EXPAND.format(table))
    await world.put(sent[300:])
    await until(partial(world.settled, len(sent)), 60)
    assert await world.counts() == expected_counts(sent)
    assert len(set(await world.published())) == distinct


async def test_negative_control_a_schema_that_shrinks_at_once_breaks_the_old_worker(
    world: World,
) -> None:
    sent, distinct = history(orders=600, customers=20)
    world.start("a")
    await world.put(sent[:300])
    await until(partial(_counted, world, 100))
    await world.query("ALTER TABLE counts DROP COLUMN seen")
    await world.put(sent[300:])

    async def broken() -> bool:
        reply = await world.get("a", "/readyz")
        return reply.status_code == 503 and "of recent events fail" in reply.text

    await until(broken, 60)
    (row,) = await world.query("SELECT sum(orders) AS orders FROM counts")
    assert row["orders"] < distinct


async def test_a_replay_into_an_empty_database_gives_the_same_state(
    world: World, make_database: Callable[..., str]
) -> None:
    sent, _ = history(orders=1_000, customers=50, repeated_every=10)
    await world.put(sent)
    world.start("a", "consumer.after_commit=kill:0.02", 1)

    async def done() -> bool:
        world.revive("", 1)
        return await world.settled(len(sent))

    await until(done)
    first = await world.orders_seen()
    world.end()
    again = World(make_database(), world.bootstrap, environment={"LOYALTY_BATCH_RECORDS_MAX": "1"})
    await again.prepare()
    again.start("z")
    try:
        await until(partial(again.settled, len(sent)))
        assert await again.orders_seen() == first
    finally:
        again.end()


async def _counted(world: World, at_least: int) -> bool:
    return sum((await world.counts()).values()) >= at_least


async def _unready_for(world: World, part: str) -> bool:
    reply = await world.get("a", "/readyz")
    return reply.status_code == 503 and f"waiting for {part}" in reply.text


async def _delete_everything(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_records(
            {
                TopicPartition(EVENTS.name, number): RecordsToDelete(before_offset=-1)
                for number in range(EVENTS.partitions)
            }
        )
    finally:
        await admin.close()
