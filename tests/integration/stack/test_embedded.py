"""The embedded pair: data survives, whatever ends the processes; refusals are one clear line."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stack.errors import StackError
from stack.kafka import EmbeddedKafka
from stack.ports import free_base, is_free
from stack.postgres import EmbeddedPostgres
from stack.waiting import wait_for

TOPIC = "kept.records"


@pytest.fixture
def folder() -> Iterator[Path]:
    # A space, an umlaut and a letter beyond Latin-1: a person's folder may have them all.
    path = Path(tempfile.mkdtemp(prefix="tenure tést ł-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    piece = EmbeddedPostgres(folder, free_base())
    piece.start()
    yield piece
    piece.stop()


@pytest.fixture
def broker(folder: Path) -> Iterator[EmbeddedKafka]:
    piece = EmbeddedKafka(folder, free_base())
    piece.start()
    yield piece
    piece.stop()


async def insert(url: str, number: int) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (number int)")
    await connection.execute("INSERT INTO kept VALUES ($1)", number)
    await connection.close()


async def rows(url: str) -> list[int]:
    connection = await asyncpg.connect(url)
    found = await connection.fetch("SELECT number FROM kept ORDER BY number")
    await connection.close()
    return [row["number"] for row in found]


async def create_topic(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, 1, 1)])
    await admin.close()


async def produce(bootstrap: str, value: bytes) -> int:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    stored = await producer.send_and_wait(TOPIC, value)
    await producer.stop()
    return int(stored.offset)


async def consume(bootstrap: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(
        TOPIC, bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    async with asyncio.timeout(20):
        values = [(await consumer.getone()).value for _ in range(count)]
    await consumer.stop()
    return values


async def test_rows_survive_a_stop_and_a_kill(server: EmbeddedPostgres) -> None:
    await insert(server.url, 1)
    server.stop()
    assert server.pid is None
    assert is_free(server.port)
    server.start()
    await insert(server.url, 2)
    server.kill()
    server.start()
    assert await rows(server.url) == [1, 2]


async def test_a_stale_pid_that_is_somebody_elses_or_nothing_does_not_stop_a_start(
    server: EmbeddedPostgres, folder: Path
) -> None:
    await insert(server.url, 1)
    server.kill()
    pid_path = folder / "postgres" / "postmaster.pid"
    lines = pid_path.read_text().splitlines()
    pid_path.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    server.start()
    server.kill()
    pid_path.write_text("")
    server.start()
    assert await rows(server.url) == [1]


async def test_the_password_is_needed_and_private(server: EmbeddedPostgres, folder: Path) -> None:
    assert stat.S_IMODE((folder / "postgres.password").stat().st_mode) == 0o600
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(f"postgresql://tenure:wrong@127.0.0.1:{server.port}/tenure")


def test_a_database_of_another_major_version_is_refused(
    server: EmbeddedPostgres, folder: Path
) -> None:
    server.stop()
    (folder / "postgres" / "PG_VERSION").write_text("17\n")
    with pytest.raises(StackError, match="belongs to PostgreSQL 17"):
        server.start()


async def test_records_survive_a_stop_and_a_kill(broker: EmbeddedKafka) -> None:
    await create_topic(broker.bootstrap)
    assert await produce(broker.bootstrap, b"first") == 0
    broker.stop()
    assert is_free(broker.port)
    broker.start()
    assert await produce(broker.bootstrap, b"second") == 1
    broker.kill()
    assert broker.pid is None
    broker.start()
    assert await consume(broker.bootstrap, 2) == [b"first", b"second"]


def test_a_log_of_a_later_broker_is_refused(folder: Path) -> None:
    (folder / "kafka").mkdir()
    (folder / "kafka" / "version").write_text("4.2.0\n")
    with pytest.raises(StackError, match=r"written by Kafka 4\.2\.0"):
        EmbeddedKafka(folder, free_base()).start()


def test_a_broker_that_cannot_start_says_why_in_one_line(folder: Path) -> None:
    broker = EmbeddedKafka(folder, free_base())
    broker.start()
    broker.stop()
    (folder / "kafka" / "data" / "meta.properties").write_text("version=1\nnode.id=99\n")
    with pytest.raises(StackError, match="at its start") as refused:
        broker.start()
    assert "meta.properties" in refused.value.message
    assert "\n" not in str(refused.value)
    assert is_free(broker.port)


LAUNCHER = """
import sys, signal
from pathlib import Path
from stack.kafka import EmbeddedKafka
from stack.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), int(sys.argv[2]))
broker = EmbeddedKafka(Path(sys.argv[1]), int(sys.argv[2]) + 1)
server.start(); broker.start()
print(server.pid, broker.pid, flush=True)
signal.pause()
"""


def test_nothing_outlives_a_launcher_that_was_killed(folder: Path) -> None:
    port = free_base()
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(folder), str(port)], stdout=subprocess.PIPE, text=True
    )
    with launcher:
        assert launcher.stdout is not None
        pids = [int(pid) for pid in launcher.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(psutil.pid_exists, pids))
        launcher.send_signal(signal.SIGKILL)
    assert wait_for(lambda: not any(map(psutil.pid_exists, pids)), 15)
    assert wait_for(lambda: is_free(port) and is_free(port + 1), 5)
    for again in (EmbeddedPostgres(folder, port), EmbeddedKafka(folder, port + 1)):
        again.start()
        again.stop()


async def test_an_orphan_of_a_killed_launcher_is_ended_before_the_next_start(
    server: EmbeddedPostgres, folder: Path
) -> None:
    await insert(server.url, 1)
    orphan = server.pid
    second = EmbeddedPostgres(folder, server.port)
    second.start()
    assert second.pid != orphan
    assert await rows(second.url) == [1]
    second.stop()
