"""Topics on Kafka: made from the catalogue, and refused where they differ from it."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, for_code

from shared.events.topics import Topic
from shared.retry import Backoff
from shared.runtime.log import LogUnavailable, WrongPartitions

_HOUR_MS = 3_600_000
_TOPIC_EXISTS = 36
_REPLICAS = 3  # of each partition, where the cluster has as many brokers


async def ensure_topics(kafka: str, topics: Sequence[Topic]) -> None:
    """Creates what is missing, then waits until each partition has a leader.

    A topic with another number of partitions than the catalogue's is a `ValueError`: keys would
    land elsewhere and order per customer would be lost.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    try:
        await admin.start()
        existing = set(await admin.list_topics())
        missing = [topic for topic in topics if topic.name not in existing]
        if missing:
            brokers = len((await admin.describe_cluster())["brokers"])
            copies = min(_REPLICAS, brokers)
            _raise_for(await admin.create_topics([_new_topic(topic, copies) for topic in missing]))
        await _await_leaders(admin, topics)
    except (KafkaError, OSError, TimeoutError) as error:
        raise LogUnavailable(f"cannot create topics: {error!r}") from error
    finally:
        await admin.close()


async def _await_leaders(admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> None:
    wanted = {topic.name: topic.partitions for topic in topics}
    for delay in Backoff(max_seconds=0.5).delays():
        described = await admin.describe_topics(list(wanted))
        if all(_has_leaders(one) for one in described) and len(described) == len(wanted):
            _demand_partitions(described, wanted)
            return
        await asyncio.sleep(delay)


def _demand_partitions(described: Sequence[Mapping[str, Any]], wanted: Mapping[str, int]) -> None:
    for one in described:
        found, expected = len(one["partitions"]), wanted[one["topic"]]
        if found != expected:
            raise WrongPartitions(
                f"topic {one['topic']} has {found} partitions, not {expected}: "
                "set the catalogue to it or create the topic anew"
            )


def _has_leaders(described: Mapping[str, object]) -> bool:
    partitions = described["partitions"]
    assert isinstance(partitions, list)
    return bool(partitions) and all(one["leader"] >= 0 for one in partitions)


def _raise_for(response: object) -> None:
    for topic, code, *_rest in response.topic_errors:  # type: ignore[attr-defined]
        if code not in (0, _TOPIC_EXISTS):
            raise for_code(code)(topic)


def _new_topic(topic: Topic, copies: int) -> NewTopic:
    configs = {"cleanup.policy": "compact" if topic.compacted else "delete"}
    if not topic.compacted:
        hours = topic.retention_hours
        configs["retention.ms"] = str(-1 if hours is None else hours * _HOUR_MS)
    return NewTopic(topic.name, topic.partitions, copies, topic_configs=configs)
