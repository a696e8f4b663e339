"""Preparing is for every start: it makes what is missing and leaves the rest."""

from aiokafka.admin import AIOKafkaAdminClient

from shared.events.topics import TOPICS
from stack.addresses import Addresses
from stack.backing import Kafka
from stack.prepare import ensure_topics


def test_topics_are_made_from_the_catalogue_and_a_second_time_changes_nothing(
    kafka: Kafka,
) -> None:
    where = Addresses("postgresql://nobody", kafka.bootstrap)
    ensure_topics(where)
    ensure_topics(where)


async def test_every_topic_of_the_catalogue_has_its_partitions(kafka: Kafka) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    described = await admin.describe_topics([topic.name for topic in TOPICS])
    await admin.close()
    found = {one["topic"]: len(one["partitions"]) for one in described}
    assert found == {topic.name: topic.partitions for topic in TOPICS}
