"""Worker processes that are killed, frozen and restarted, and the world they are judged in."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError

from shared.events.commerce import OrderCompleted
from shared.events.topics import EVENTS, POINTS, TOPICS
from shared.runtime.kafka import KafkaLog
from shared.runtime.log import Outgoing
from shared.runtime.migrate import migrate
from shared.runtime.outbox import TYPE_HEADER
from shared.runtime.settings import RuntimeSettings
from shared.testing.builders import event
from stack.ports import free_base
from tests.integration.runtime.counting import build

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 180.0
# 1 is what fits in everybody's test run; 50 is the full figure of every promise (docs/HACKING.md).
SEED = int(os.environ.get("TENURE_SIMULATION_SEED", random.randrange(10_000)))
SCALE = int(os.environ.get("TENURE_SIMULATION_SCALE", "1"))
GROUP = "loyalty"


@dataclass(slots=True)
class World:
    """A database, a broker, the orders put on it, and the workers that count them."""

    database_url: str
    bootstrap: str
    environment: dict[str, str] = field(default_factory=dict)
    workers: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    deaths: int = 0
    starts: int = 0
    recipe: str = "ours"
    ports: dict[str, int] = field(default_factory=dict)
    broker_log: Path | None = None

    async def prepare(self) -> None:
        print(f"TENURE_SIMULATION_SEED={SEED}")
        await KafkaLog(RuntimeSettings(kafka=self.bootstrap)).ensure_topics(TOPICS)
        await migrate(self.database_url, "loyalty", build().migrations)

    def start(self, replica: str, failpoints: str = "", seed: int = 0) -> None:
        """Starts a worker; each start throws its dice anew."""
        self.starts += 1
        environment = (
            os.environ
            | {
                "TENURE_DATABASE_URL": self.database_url,
                "TENURE_KAFKA": self.bootstrap,
                "TENURE_FAILPOINTS": failpoints,
                "TENURE_FAILPOINTS_SEED": str(seed * 1_000 + self.starts),
                "LOYALTY_BATCH_RECORDS_MAX": "20",
            }
            | self.environment
        )
        port = str(self.ports.setdefault(replica, free_base()))
        self.workers[replica] = subprocess.Popen(
            [sys.executable, "-m", "tests.simulation.child", self.recipe, replica, port],
            cwd=ROOT,
            env=environment,
            stderr=subprocess.DEVNULL,
        )

    async def ready(self, replica: str) -> bool:
        """Whether the worker answers that it is ready."""
        try:
            async with httpx.AsyncClient() as client:
                reply = await client.get(f"http://127.0.0.1:{self.ports[replica]}/readyz")
        except httpx.TransportError:
            return False
        return reply.status_code == httpx.codes.OK

    async def get(self, replica: str, path: str) -> httpx.Response:
        async with httpx.AsyncClient() as client:
            return await client.get(f"http://127.0.0.1:{self.ports[replica]}{path}")

    async def metric(self, replica: str, name: str) -> float:
        """The sum of a counter or gauge over its labels; 0 while there is nobody to ask."""
        try:
            text = (await self.get(replica, "/metrics")).text
        except httpx.TransportError:
            return 0.0
        rows = [line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in rows)

    def frozen(self, replica: str) -> bool:
        """Whether the process is stopped by SIGSTOP at this moment."""
        stat = Path(f"/proc/{self.workers[replica].pid}/stat").read_text()
        return stat.rsplit(")", 1)[1].split()[0] == "T"

    def rebalances(self) -> list[str]:
        """Why the broker dealt out the group's partitions anew, each time, by its own log."""
        assert self.broker_log is not None
        lines = self.broker_log.read_text().splitlines()
        return [
            line.split("(reason: ")[1] for line in lines if f"to rebalance group {GROUP} " in line
        ]

    async def owners(self) -> dict[str, frozenset[int]]:
        """The group as the broker sees it: which partitions of the events each replica has."""
        return await owners(self.bootstrap, GROUP)

    def signal(self, replica: str, number: signal.Signals) -> None:
        self.workers[replica].send_signal(number)

    def revive(self, failpoints: str, seed: int) -> None:
        """Restarts whoever died."""
        for replica, worker in list(self.workers.items()):
            if worker.poll() is not None:
                self.deaths += 1
                self.start(replica, failpoints, seed)

    def end(self) -> None:
        for worker in self.workers.values():
            worker.send_signal(signal.SIGCONT)
            worker.kill()
            worker.wait()

    async def put(self, events: Sequence[OrderCompleted]) -> None:
        writer = KafkaLog(RuntimeSettings(kafka=self.bootstrap)).writer()
        await writer.start()
        await writer.write(
            [
                Outgoing(
                    EVENTS.name,
                    one.subject.encode(),
                    one.to_json(),
                    ((TYPE_HEADER, one.type.encode()),),
                )
                for one in events
            ]
        )
        await writer.stop()

    async def counts(self) -> dict[str, int]:
        return {row["customer_id"]: row["orders"] for row in await self._rows()}

    async def orders_seen(self) -> dict[str, list[str]]:
        return {row["customer_id"]: row["seen"] for row in await self._rows()}

    async def _rows(self) -> list[asyncpg.Record]:
        return await self.query("SELECT customer_id, orders, seen FROM counts ORDER BY 1")

    async def query(self, sql: str) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(
            self.database_url, server_settings={"search_path": "loyalty"}
        )
        try:
            return list(await connection.fetch(sql))
        finally:
            await connection.close()

    async def settled(self, records: int) -> bool:
        """Whether all `records` of the topic are consumed and everything has left the outbox."""
        (row,) = await self.query(
            "SELECT (SELECT coalesce(sum(next_offset), 0) FROM consumed WHERE topic = "
            f"'{EVENTS.name}') AS consumed, (SELECT count(*) FROM outbox) AS waiting"
        )
        return bool(row["consumed"] == records and row["waiting"] == 0)

    async def published(self) -> list[str]:
        """The causes of all points events, as often as they stand in the log."""
        consumer = AIOKafkaConsumer(
            POINTS.name,
            bootstrap_servers=self.bootstrap,
            group_id=None,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        ids: list[str] = []
        try:
            ends = await consumer.end_offsets(consumer.assignment())
            for partition, end in ends.items():
                while await consumer.position(partition) < end:
                    batch = await consumer.getmany(partition, timeout_ms=1_000)
                    ids += [
                        record.value.decode().split('"id":"')[1].split('"')[0]
                        for records in batch.values()
                        for record in records
                    ]
        finally:
            await consumer.stop()
        return ids


async def owners(bootstrap: str, group: str) -> dict[str, frozenset[int]]:
    """Replica → partitions of `ingest.events`, once the group is stable; empty until then."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        (answer,) = await admin.describe_consumer_groups([group])
    except KafkaError:  # the coordinator of a group that nobody has joined yet
        return {}
    finally:
        await admin.close()
    ((_error, _group, state, _type, _protocol, members, *_),) = answer.groups
    if state != "Stable":
        return {}
    found = {}
    for member_id, _client, _host, _metadata, assigned, *_ in members:
        topics = dict(ConsumerProtocolMemberAssignment.decode(assigned).assignment)
        # A static member's id is its group's and its replica's name, then a UUID of 36 characters.
        found[member_id[len(group) + 1 : -37]] = frozenset(topics.get(EVENTS.name, ()))
    return found


def inversions(seen: Mapping[str, Sequence[str]]) -> int:
    """How many effects were applied after one that comes later in their customer's history."""
    return sum(earlier > later for orders in seen.values() for earlier, later in pairwise(orders))


def history(
    orders: int, customers: int, repeated_every: int = 0
) -> tuple[list[OrderCompleted], int]:
    """Orders in time order, and how many are distinct.

    With `repeated_every` = n a client sends an earlier one again after each n-th; with 0 nobody
    repeats anything, so whatever counts twice was handled twice.
    """
    distinct = [
        event(OrderCompleted, id=f"e-{n}", customer=f"c-{n % customers}", order_id=f"o-{n:06}")
        for n in range(orders)
    ]
    sent: list[OrderCompleted] = []
    for n, one in enumerate(distinct):
        sent.append(one)
        if repeated_every and n % repeated_every == 0:
            sent.append(distinct[n // 2])
    return sent, len(distinct)


def expected_counts(sent: Sequence[OrderCompleted]) -> dict[str, int]:
    """What an undisturbed count of the distinct events is."""
    return dict(Counter(one.subject for one in {one.id: one for one in sent}.values()))


async def until(
    condition: Callable[[], Awaitable[bool]], seconds: float = DEADLINE_SECONDS
) -> None:
    """Waits until an async function answers true; a `TimeoutError` otherwise."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.1)
