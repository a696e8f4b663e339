"""The recipe from the textbooks, as a negative control: every test of ours must catch it.

Apply the batch in a database transaction, commit, then tell Kafka the offset. No check of the
position, no memory of ids. With its natural gap it often survives; the fail-point in the gap shows
what it is worth.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError

from shared.events.topics import EVENTS
from shared.runtime import failpoints
from shared.runtime.failpoints import FailPoints, Injected
from stack.platform import Platform

RESTART_SECONDS = 0.2
CAUGHT_UP_SECONDS = 60.0

_COUNT = """
INSERT INTO counts (customer_id, orders, seen) VALUES ($1, 1, ARRAY[$2])
ON CONFLICT (customer_id) DO UPDATE SET orders = counts.orders + 1, seen = counts.seen || $2
"""


async def consume(
    database_url: str,
    bootstrap: str,
    replica: str,
    records_max: int,
    points: FailPoints,
    schema: str = "loyalty",
) -> None:
    """For ever: poll, apply, commit to the database, commit to Kafka."""
    database = await asyncpg.connect(database_url, server_settings={"search_path": schema})
    consumer = AIOKafkaConsumer(
        EVENTS.name,
        bootstrap_servers=bootstrap,
        group_id="naive",
        group_instance_id=f"naive-{replica}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=6_000,
        partition_assignment_strategy=[RangePartitionAssignor],
    )
    try:
        await consumer.start()
        while True:
            batch = await consumer.getmany(timeout_ms=200, max_records=records_max)
            if not batch:
                continue
            async with database.transaction():
                for records in batch.values():
                    for record in records:
                        event = json.loads(record.value)
                        order = event["data"].get("order_id", event["id"])
                        await database.execute(_COUNT, event["subject"], order)
                await points.reach("consumer.before_commit")
            await points.reach("consumer.after_commit")
            await consumer.commit()
    finally:
        await consumer.stop()
        database.terminate()


def main(database_url: str, bootstrap: str, replica: str, records_max: int) -> None:
    points = failpoints.from_environment(os.environ)
    asyncio.run(consume(database_url, bootstrap, replica, records_max, points))


@dataclass(slots=True)
class SideBySide:
    """The recipe beside a platform, on the same events; what cuts it off there, it starts again."""

    platform: Platform
    points: FailPoints

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self._query(
            "CREATE SCHEMA naive; CREATE TABLE naive.counts (customer_id text PRIMARY KEY, "
            "orders bigint NOT NULL, seen text[] NOT NULL)"
        )
        task = asyncio.create_task(self._again_and_again())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _again_and_again(self) -> None:
        where = (self.platform.database_url, self.platform.bootstrap)
        while True:
            with suppress(
                Injected, KafkaError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError
            ):
                await consume(*where, "beside", 100, self.points, "naive")
            await asyncio.sleep(RESTART_SECONDS)

    async def caught_up(self) -> None:
        """Until it has told Kafka that it has read everything."""
        async with asyncio.timeout(CAUGHT_UP_SECONDS):
            while not await self._at_the_end():
                await asyncio.sleep(RESTART_SECONDS)

    async def _at_the_end(self) -> bool:
        reader = AIOKafkaConsumer(bootstrap_servers=self.platform.bootstrap, group_id="naive",
                                  enable_auto_commit=False)  # fmt: skip
        await reader.start()
        try:
            places = [TopicPartition(EVENTS.name, n) for n in range(EVENTS.partitions)]
            reader.assign(places)
            ends = await reader.end_offsets(places)
            told = {one: await reader.committed(one) or 0 for one in places}
            return told == dict(ends)
        finally:
            await reader.stop()

    async def _query(self, sql: str) -> None:
        connection = await asyncpg.connect(self.platform.database_url)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()
