"""The door with a crowd before it: clients that remember what was acknowledged, and the log."""

import asyncio
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from aiokafka import AIOKafkaConsumer

from shared.clock import monotonic_seconds
from stack.platform import Platform, PlatformOptions, running_platform
from stack.ports import Ports, free_base
from stack.processes import ProcessPlan

CLIENTS = 8
BATCH = 20
PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Answer:
    """When a request was sent, how long its answer took, and what it was."""

    sent_at: float
    seconds: float
    status: int
    retry_after: str | None

    @property
    def ended_at(self) -> float:
        return self.sent_at + self.seconds


@dataclass(slots=True)
class Shop:
    """Clients that post without a pause and remember what was acknowledged."""

    url: str
    key: str
    name: str = "shop"
    acknowledged: set[str] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)
    refusals: list[Answer] = field(default_factory=list)
    sent: set[str] = field(default_factory=set)
    cut: int = 0
    _stop: bool = False

    async def run(self) -> None:
        async with (
            httpx.AsyncClient(timeout=15, trust_env=False) as client,
            asyncio.TaskGroup() as group,
        ):
            for number in range(CLIENTS):
                group.create_task(self._post(client, number))

    def stop(self) -> None:
        self._stop = True

    async def more(self, events: int) -> None:
        """Until so many more have been acknowledged."""
        before = len(self.acknowledged)
        async with asyncio.timeout(120):
            while len(self.acknowledged) < before + events:
                await asyncio.sleep(0.02)

    async def refused(self) -> None:
        """Until one more is refused."""
        before = len(self.refusals)
        async with asyncio.timeout(30):
            while len(self.refusals) == before:
                await asyncio.sleep(0.02)

    async def _post(self, client: httpx.AsyncClient, number: int) -> None:
        turn = 0
        while not self._stop:
            turn += 1
            ids = [f"{self.name}-{number}-{turn}-{one}" for one in range(BATCH)]
            self.sent.update(ids)
            sent_at = monotonic_seconds()
            try:
                reply = await client.post(
                    f"{self.url}/v1/events",
                    content=_body(ids),
                    headers={"Authorization": f"Bearer {self.key}"},
                )
            except httpx.TransportError:
                self.cut += 1
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            self.statuses[reply.status_code] += 1
            if reply.status_code == httpx.codes.ACCEPTED:
                self.acknowledged.update(ids)
                continue
            took, asked = monotonic_seconds() - sent_at, reply.headers.get("retry-after")
            self.refusals.append(Answer(sent_at, took, reply.status_code, asked))
            await asyncio.sleep(PAUSE_SECONDS)


def _body(ids: list[str]) -> bytes:
    events = [
        {
            "id": one,
            "type": "page.viewed",
            "customer_id": f"c-{one}",
            "occurred_at": "2026-03-02T12:00:00Z",
            "data": {},
        }
        for one in ids
    ]
    return json.dumps({"events": events}).encode()


@contextmanager
def door(*, hasty: bool = False, failpoints: str = "") -> Iterator[Platform]:
    """Only the door (or the hasty one in its place), with a broker and a database."""
    folder = Path(tempfile.mkdtemp(prefix="tenure-door-"))
    base = free_base()
    port = Ports.of(base).services["ingest"]
    naive = (sys.executable, "-m", "tests.simulation.naive_door", str(port))
    command = naive if hasty else ()
    plan = ProcessPlan("ingest", "ingest", ("api",), port, other_command=command)
    worker = ProcessPlan("ingest-worker", "ingest", ("consumer", "jobs"), base + 8)
    plans = [plan] if hasty else [plan, worker]
    try:
        with running_platform(
            PlatformOptions(
                data_dir=folder,
                port_base=base,
                processes=plans,
                environment={"TENURE_FAILPOINTS": failpoints},
            )
        ) as platform:
            yield platform
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def on_the_log(platform: Platform, ids: set[str]) -> set[str]:
    """Which of these ids stand in `ingest.received`."""
    consumer = AIOKafkaConsumer(
        "ingest.received", bootstrap_servers=platform.bootstrap, auto_offset_reset="earliest"
    )
    await consumer.start()
    found: set[str] = set()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        for partition, end in ends.items():
            while await consumer.position(partition) < end:
                for records in (await consumer.getmany(partition, timeout_ms=500)).values():
                    for record in records:
                        found.update(_ids(record.value))
    finally:
        await consumer.stop()
    return found & ids


def _ids(value: bytes) -> Iterator[str]:
    text = value.decode()
    for part in text.split('"id":')[1:]:
        yield part.split('"')[1]
