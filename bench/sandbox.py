"""A Kafka and a PostgreSQL of our own, and the processes under test, in a folder that goes away."""

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.processor import Group
from shared.events.topics import TOPICS, Topic
from shared.runtime.kafka import KafkaLog
from shared.runtime.log import Outgoing
from shared.runtime.settings import RuntimeSettings
from stack.child import Child
from stack.kafka import EmbeddedKafka
from stack.ports import free_base, free_ports
from stack.postgres import EmbeddedPostgres
from stack.settings import LOOPBACK, StackSettings

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
READY_SECONDS = 120.0
# Nobody measures the laying out, and a busy machine may take its time.
PATIENCE_SECONDS = 120.0
STOP_SECONDS = 15.0
QUIET_SECONDS_MAX = 30.0
_WRITE_RECORDS = 5_000
_POLL_SECONDS = 0.05
_QUIET_SHARE = 0.10
_QUIET_WINDOW_SECONDS = 0.5


@dataclass(slots=True)
class Sandbox:
    """The running pair, and how to start processes beside it."""

    folder: Path
    postgres: EmbeddedPostgres
    kafka: EmbeddedKafka

    def groups(self) -> tuple[Group, Group]:
        """The broker, and the database server with all its backends."""
        assert self.kafka.pid is not None
        assert self.postgres.pid is not None
        return Group("kafka", self.kafka.pid), Group("postgres", self.postgres.pid, tree=True)

    def environment(self, database: str = "tenure") -> dict[str, str]:
        """Where a service finds this pair."""
        return {
            "TENURE_DATABASE_URL": self.postgres.url_of(database),
            "TENURE_KAFKA": self.kafka.bootstrap,
            "TENURE_DATA_DIR": str(self.folder),
            "TENURE_CLOCK": "wall",
        }

    @contextlib.contextmanager
    def serving(
        self, service: str, roles: str, *, database: str = "tenure"
    ) -> Iterator[tuple[Child, int]]:
        """A process of the real service, ready; answers it and its port."""
        (port,) = free_ports(1)
        command = [sys.executable, "-m", "stack.cli", "serve", service, "--roles", roles,
                   "--port", str(port)]  # fmt: skip
        with self.running(service, command, self.environment(database)) as child:
            child.wait_until(lambda: _answers(port, "/readyz"), READY_SECONDS)
            yield child, port

    @contextlib.contextmanager
    def running(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> Iterator[Child]:
        """Any process, stopped on leaving."""
        child = Child(
            name,
            command,
            log_path=self.folder / "logs" / f"{name}.log",
            environment={**os.environ, **(environment or {})},
        )
        try:
            yield child
        finally:
            child.stop(STOP_SECONDS)

    @contextlib.contextmanager
    def floor(self, module: str, *arguments: str) -> Iterator[tuple[Child, int]]:
        """A floor that listens, ready; answers it and its port."""
        (port,) = free_ports(1)
        command = [sys.executable, "-m", module, "--port", str(port), *arguments]
        with self.running(module.rpartition(".")[2], command) as child:
            child.wait_until(lambda: _answers(port, "/"), READY_SECONDS)
            yield child, port

    async def sql(self, statement: str, *arguments: object, database: str = "tenure") -> None:
        """One statement, by itself."""
        async with self.connected(database) as connection:
            await connection.execute(statement, *arguments)

    @contextlib.asynccontextmanager
    async def connected(self, database: str = "tenure") -> AsyncIterator[Connection]:
        """A connection to a database of the pair."""
        connection = await asyncpg.connect(self.postgres.url_of(database))
        try:
            yield connection
        finally:
            await connection.close()

    async def ensure_topics(self, topics: Sequence[Topic] = TOPICS) -> None:
        await self._log().ensure_topics(topics)

    async def write(self, records: Sequence[Outgoing], topics: Sequence[Topic] = TOPICS) -> None:
        """Puts records on their topics, acknowledged."""
        writer = self._log().writer(topics)
        await writer.start()
        try:
            for at in range(0, len(records), _WRITE_RECORDS):
                await writer.write(records[at : at + _WRITE_RECORDS])
        finally:
            await writer.stop()

    def _log(self) -> KafkaLog:
        settings = RuntimeSettings(
            kafka=self.kafka.bootstrap, request_timeout_seconds=PATIENCE_SECONDS
        )
        return KafkaLog(settings)

    async def ends(self, topic: str) -> dict[int, int]:
        """The end offset of each partition."""
        consumer = AIOKafkaConsumer(topic, bootstrap_servers=self.kafka.bootstrap)
        await consumer.start()
        try:
            ends = await consumer.end_offsets(
                [TopicPartition(topic, one) for one in consumer.partitions_for_topic(topic) or ()]
            )
        finally:
            await consumer.stop()
        return {one.partition: end for one, end in ends.items()}

    async def commit_group(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Where a new member of a group will begin."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.kafka.bootstrap, group_id=group, enable_auto_commit=False
        )
        await consumer.start()
        try:
            partitions = {TopicPartition(topic, one): at for one, at in offsets.items()}
            consumer.assign(list(partitions))
            await consumer.commit(partitions)
        finally:
            await consumer.stop()

    def wait_until_quiet(self) -> None:
        """Until broker and database have done what they still had to do; or nearly."""
        groups = self.groups()
        deadline = time.monotonic() + QUIET_SECONDS_MAX
        while time.monotonic() < deadline:
            before = sum(group.seconds() for group in groups)
            time.sleep(_QUIET_WINDOW_SECONDS)
            used = sum(group.seconds() for group in groups) - before
            if used < _QUIET_SHARE * _QUIET_WINDOW_SECONDS:
                return


@contextlib.contextmanager
def sandbox(postgres_settings: Mapping[str, str] | None = None) -> Iterator[Sandbox]:
    """Both running, empty; gone on leaving."""
    folder = Path(tempfile.mkdtemp(prefix="tenure-bench-"))
    base = free_base(2)
    settings = StackSettings(data_dir=folder, postgres_settings=dict(postgres_settings or {}))
    pair = Sandbox(
        folder,
        EmbeddedPostgres(folder, base, settings),
        EmbeddedKafka(folder, base + 1, settings),
    )
    try:
        pair.postgres.start()
        pair.kafka.start()
        yield pair
    finally:
        pair.kafka.stop()
        pair.postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Until the condition holds; a `TimeoutError` names what did not happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(_POLL_SECONDS)


def _answers(port: int, path: str) -> bool:
    try:
        answer = httpx.get(f"http://{LOOPBACK}:{port}{path}", timeout=2.0, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code < 300
