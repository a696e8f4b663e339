"""Dead letters through the launcher: seen with their reason, sent again once each."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.runtime.dead import DeadLetter, original_record, row_of_dead
from shared.runtime.kafka import KafkaLog
from shared.runtime.log import Outgoing, Record
from shared.runtime.settings import RuntimeSettings
from stack.addresses import Addresses, note
from stack.backing import Kafka
from stack.errors import StackError
from stack.letters import list_letters, replay_letters
from stack.prepare import ensure_topics

AT = datetime(2026, 1, 1, tzinfo=UTC)
RETRY = "webhooks.retry"


def put(bootstrap: str, *offsets: int) -> None:
    """What a consumer writes when it gives up on records at these offsets."""

    async def write() -> None:
        writer = KafkaLog(RuntimeSettings(kafka=bootstrap)).writer()
        rows = [
            row_of_dead(
                DeadLetter("ingest.events", 3, at, b"c1", b"{}", (), "unreadable", f"bad {at}"),
                "webhooks",
                AT,
            )
            for at in offsets
        ]
        await writer.write(
            [
                Outgoing(
                    row.topic,
                    row.key,
                    row.value,
                    tuple((k, v.encode()) for k, v in json.loads(row.headers).items()),
                )
                for row in rows
            ]
        )
        await writer.stop()

    asyncio.run(write())


def sent_again(bootstrap: str) -> list[Record]:
    async def read() -> list[Record]:
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
        await consumer.start()
        partition = TopicPartition(RETRY, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        end = (await consumer.end_offsets([partition]))[partition]
        async with asyncio.timeout(20):
            found = [await consumer.getone() for _ in range(end)]
        await consumer.stop()
        return [Record(RETRY, 0, one.offset, one.key, one.value, one.headers) for one in found]

    return asyncio.run(read())


@pytest.fixture
def data_dir(kafka: Kafka, tmp_path: Path) -> Path:
    where = Addresses("postgresql://nobody", kafka.bootstrap)
    ensure_topics(where)
    note(tmp_path, where)
    return tmp_path


def test_letters_are_listed_with_reason_and_origin_and_sent_again_once(
    kafka: Kafka, data_dir: Path
) -> None:
    assert list_letters("webhooks", data_dir, 10) == []
    put(kafka.bootstrap, 41, 42)
    letters = list_letters("webhooks", data_dir, 10)
    assert [(one.topic, one.partition, one.offset, one.reason) for one in letters] == [
        ("ingest.events", 3, 41, "bad 41"),
        ("ingest.events", 3, 42, "bad 42"),
    ]
    assert [one.offset for one in list_letters("webhooks", data_dir, 1)] == [42]
    # What could not be marked would be sent at every replay: it is tried before anything is sent.
    obstacle = data_dir / "dead-letters.json.new"
    obstacle.mkdir()
    with pytest.raises(StackError, match=r"dead-letters\.json\.new cannot be used"):
        replay_letters("webhooks", data_dir)
    obstacle.rmdir()
    assert sent_again(kafka.bootstrap) == []
    assert replay_letters("webhooks", data_dir) == (2, 0)
    assert replay_letters("webhooks", data_dir) == (0, 0)
    put(kafka.bootstrap, 43)
    assert replay_letters("webhooks", data_dir) == (1, 0)
    again = [original_record(record) for record in sent_again(kafka.bootstrap)]
    assert [(one.topic, one.partition, one.offset) for one in again] == [
        ("ingest.events", 3, 41),
        ("ingest.events", 3, 42),
        ("ingest.events", 3, 43),
    ]
