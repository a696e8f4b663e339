"""The fixtures that the other rings stand on."""

from collections.abc import Callable

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stack.backing import Kafka, Postgres
from tests.fixtures.backing import run_sql


async def test_every_database_is_new_and_empty(make_database: Callable[..., str]) -> None:
    for _ in range(2):
        connection = await asyncpg.connect(make_database())
        await connection.execute("CREATE TABLE kept (id int)")
        await connection.close()


async def test_a_database_can_be_cloned_from_a_template(
    make_database: Callable[..., str],
) -> None:
    template = make_database()
    run_sql(template, "CREATE TABLE kept (id int)", "INSERT INTO kept VALUES (7)")
    clone = await asyncpg.connect(make_database(template=template.rsplit("/", 1)[1]))
    assert await clone.fetchval("SELECT id FROM kept") == 7
    await clone.close()


async def test_the_server_writes_through_to_the_disk(postgres: Postgres) -> None:
    connection = await asyncpg.connect(postgres.url)
    assert await connection.fetchval("SHOW fsync") == "on"
    assert await connection.fetchval("SHOW server_version_num") >= "180000"
    await connection.close()


async def test_the_broker_takes_a_record_with_all_acknowledgements(kafka: Kafka) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("fixture.records", 12, 1)])
    await admin.close()
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap, acks="all", enable_idempotence=True
    )
    await producer.start()
    stored = await producer.send_and_wait("fixture.records", b"value", key=b"key")
    await producer.stop()
    assert stored.offset == 0
