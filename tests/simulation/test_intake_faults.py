"""Promises R1 and R8 at the door: what was answered 2xx is on the log; the rest is told at once.

`TENURE_SIMULATION_FAULTS=50` gives the door fifty faults instead of a handful.
"""

import asyncio
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest
from aiokafka import AIOKafkaConsumer

from shared.clock import monotonic_seconds
from stack.platform import Platform, PlatformOptions, running_platform
from stack.ports import Ports, free_base
from stack.processes import ProcessPlan

SEED = int(os.environ.get("TENURE_SIMULATION_SEED", random.randrange(10_000)))
FAULTS = int(os.environ.get("TENURE_SIMULATION_FAULTS", "5"))
CLIENTS = 8
BATCH = 20
ANSWER_SECONDS = 1.0
RSS_GROWTH_MB_MAX = 64


@dataclass(slots=True)
class Shop:
    """Clients that post without a pause and remember what was acknowledged."""

    url: str
    key: str
    acknowledged: set[str] = field(default_factory=set)
    statuses: dict[int, int] = field(default_factory=dict)
    refusals: list[tuple[float, httpx.Response]] = field(default_factory=list)
    cut: int = 0
    _stop: bool = False

    async def run(self) -> None:
        async with (
            httpx.AsyncClient(timeout=15, trust_env=False) as client,
            asyncio.TaskGroup() as g,
        ):
            for number in range(CLIENTS):
                g.create_task(self._post(client, number))

    def stop(self) -> None:
        self._stop = True

    async def _post(self, client: httpx.AsyncClient, number: int) -> None:
        turn = 0
        while not self._stop:
            turn += 1
            ids = [f"{number}-{turn}-{one}" for one in range(BATCH)]
            started = monotonic_seconds()
            try:
                reply = await client.post(
                    f"{self.url}/v1/events",
                    content=_body(ids),
                    headers={"Authorization": f"Bearer {self.key}"},
                )
            except httpx.TransportError:
                self.cut += 1
                await asyncio.sleep(0.05)
                continue
            self.statuses[reply.status_code] = self.statuses.get(reply.status_code, 0) + 1
            if reply.status_code == 202:
                self.acknowledged.update(ids)
            else:
                self.refusals.append((monotonic_seconds() - started, reply))
                await asyncio.sleep(0.05)


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
def door(*, hasty: bool = False) -> Iterator[Platform]:
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
            PlatformOptions(data_dir=folder, port_base=base, processes=plans)
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


@pytest.mark.timeout(600)
async def test_what_was_acknowledged_survives_every_fault() -> None:
    print(f"TENURE_SIMULATION_SEED={SEED}")
    dice = random.Random(SEED)
    with door() as platform:
        shop = Shop(platform.urls["ingest"], platform.keys["ingest"])
        posting = asyncio.create_task(shop.run())
        for number in range(FAULTS):
            await asyncio.sleep(1 + dice.random())
            await asyncio.to_thread(_break_something, platform, number)
        await asyncio.to_thread(platform.wait_until_ready, 60.0)
        before = len(shop.acknowledged)
        async with asyncio.timeout(60):
            while len(shop.acknowledged) <= before:
                await asyncio.sleep(0.1)
        shop.stop()
        await posting
        lost = shop.acknowledged - await on_the_log(platform, shop.acknowledged)
    assert len(shop.acknowledged) > 1_000
    assert shop.cut + len(shop.refusals) > 0, "no fault was felt"
    assert not lost, f"{len(lost)} of {len(shop.acknowledged)} lost, seed {SEED}"
    assert set(shop.statuses) <= {202, 429, 503}, shop.statuses


def _break_something(platform: Platform, number: int) -> None:
    kind = ("door", "broker", "door", "frozen broker", "worker")[number % 5]
    if kind == "door":
        platform.kill("ingest")
    elif kind == "broker":
        platform.kill("kafka")
        platform.start("kafka")
    elif kind == "worker":
        platform.kill("ingest-worker")
    else:
        platform.freeze("kafka")
        try:
            asyncio.run(asyncio.sleep(4))
        finally:
            platform.thaw("kafka")


@pytest.mark.timeout(300)
async def test_negative_control_a_hasty_door_loses_what_it_acknowledged() -> None:
    with door(hasty=True) as platform:
        shop = Shop(platform.urls["ingest"], platform.keys["ingest"])
        posting = asyncio.create_task(shop.run())
        await asyncio.sleep(2)
        await asyncio.to_thread(platform.freeze, "kafka")
        await asyncio.sleep(2)
        await asyncio.to_thread(platform.kill, "ingest")
        shop.stop()
        await posting
        await asyncio.to_thread(platform.thaw, "kafka")
        lost = shop.acknowledged - await on_the_log(platform, shop.acknowledged)
    assert lost


@pytest.mark.timeout(300)
async def test_without_a_broker_the_door_says_so_at_once_and_keeps_nothing() -> None:
    with door() as platform:
        shop = Shop(platform.urls["ingest"], platform.keys["ingest"])
        posting = asyncio.create_task(shop.run())
        await asyncio.sleep(3)
        process = _process(platform)
        before_mb = process.memory_info().rss / 2**20
        await asyncio.to_thread(platform.kill, "kafka")
        await asyncio.sleep(1)
        shop.refusals.clear()
        await asyncio.sleep(12)
        grown_mb = process.memory_info().rss / 2**20 - before_mb
        refusals = list(shop.refusals)
        await asyncio.to_thread(platform.start, "kafka")
        count, started = len(shop.acknowledged), monotonic_seconds()
        async with asyncio.timeout(30):
            while len(shop.acknowledged) == count:
                await asyncio.sleep(0.02)
        recovered = monotonic_seconds() - started
        shop.stop()
        await posting
        lost = shop.acknowledged - await on_the_log(platform, shop.acknowledged)
    assert len(refusals) > 10
    assert {reply.status_code for _, reply in refusals} == {503}
    assert all(int(reply.headers["retry-after"]) >= 1 for _, reply in refusals)
    waits = sorted(seconds for seconds, _ in refusals)
    assert waits[int(len(waits) * 0.9)] < ANSWER_SECONDS, waits[-5:]
    assert grown_mb < RSS_GROWTH_MB_MAX
    assert recovered < 5, f"{recovered:.1f} s until the first acknowledgement"
    assert not lost


def _process(platform: Platform) -> psutil.Process:
    port = platform.supervisor.plans[0].port
    for connection in psutil.net_connections("tcp"):
        listening = connection.laddr if connection.status == psutil.CONN_LISTEN else None
        if listening and listening.port == port and connection.pid is not None:
            return psutil.Process(connection.pid)
    raise AssertionError(f"nobody listens on {port}")
