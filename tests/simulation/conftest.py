"""A broker of its own for every test, because topics are counted from their beginning.

Each begins as a copy of one that was formatted and has the topics: a second instead of six.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from shared.events.topics import TOPICS
from shared.runtime.kafka import KafkaLog
from shared.runtime.settings import RuntimeSettings
from stack import backing
from stack.ports import free_base
from stack.settings import StackSettings
from tests.simulation.faults import World


@pytest.fixture(scope="session")
def broker_with_topics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("broker")
    broker = backing.kafka(folder, free_base(), StackSettings(), prefer="embedded")
    broker.start()
    asyncio.run(KafkaLog(RuntimeSettings(kafka=broker.bootstrap)).ensure_topics(TOPICS))
    broker.stop()
    return folder / "kafka"


@pytest.fixture
def broker(tmp_path: Path, broker_with_topics: Path) -> Iterator[backing.Kafka]:
    shutil.copytree(broker_with_topics, tmp_path / "kafka")
    made = backing.kafka(tmp_path, free_base(), StackSettings(), prefer="embedded")
    made.start()
    yield made
    made.stop()


@pytest.fixture
async def world(tmp_path: Path, broker: backing.Kafka, database_url: str) -> AsyncIterator[World]:
    """That broker, a database, and no worker yet."""
    made = World(database_url, broker.bootstrap, broker_log=tmp_path / "logs" / "kafka.log")
    await made.prepare()
    yield made
    made.end()
