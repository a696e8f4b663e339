"""The recipe from the textbooks, as a negative control: every test of ours must catch it.

Apply the batch in a database transaction, commit, then tell Kafka the offset. No check of the
position, no memory of ids. With its natural gap it often survives; the fail-point in the gap shows
what it is worth.
"""

import asyncio
import json
import os

import asyncpg
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from shared.runtime import failpoints

_COUNT = """
INSERT INTO counts (customer_id, orders, seen) VALUES ($1, 1, ARRAY[$2])
ON CONFLICT (customer_id) DO UPDATE SET orders = counts.orders + 1, seen = counts.seen || $2
"""


async def consume(database_url: str, bootstrap: str, replica: str, records_max: int) -> None:
    """For ever: poll, apply, commit to the database, commit to Kafka."""
    points = failpoints.from_environment(os.environ)
    database = await asyncpg.connect(database_url, server_settings={"search_path": "loyalty"})
    consumer = AIOKafkaConsumer(
        "ingest.events",
        bootstrap_servers=bootstrap,
        group_id="naive",
        group_instance_id=f"naive-{replica}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=6_000,
        partition_assignment_strategy=[RangePartitionAssignor],
    )
    await consumer.start()
    while True:
        batch = await consumer.getmany(timeout_ms=200, max_records=records_max)
        if not batch:
            continue
        async with database.transaction():
            for records in batch.values():
                for record in records:
                    event = json.loads(record.value)
                    await database.execute(_COUNT, event["subject"], event["data"]["order_id"])
            await points.reach("consumer.before_commit")
        await points.reach("consumer.after_commit")
        await consumer.commit()


def main(database_url: str, bootstrap: str, replica: str, records_max: int) -> None:
    asyncio.run(consume(database_url, bootstrap, replica, records_max))
