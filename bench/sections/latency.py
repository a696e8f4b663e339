"""(c) Latency: from an order that is due to be posted until its assessment can be read.

« Visible » is when a reader of `scoring.assessments` has the assessment that the order caused. It
left scoring after the commit that made it readable over HTTP too, so this is the later of the two,
and watching it costs the platform nothing but one more reader of one topic. Every order is a new
customer's: the heaviest kind, as it is linked, assessed and told in all its parts. Beside it, in
the same run, a record of like size through the bare broker and back.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from bench import shop
from bench.figures import Aim, Row, Series, Table, compared
from bench.load import ACCEPTED, request_of
from bench.plan import Plan
from bench.trips import Trips, pool, seeing, travel
from shared.events.topics import ASSESSMENTS, EVENTS, RECEIVED, Topic
from shared.runtime.kafka import KafkaLog
from shared.runtime.settings import RuntimeSettings
from stack.platform import Platform, PlatformOptions, running_platform
from stack.ports import free_base

BARE_TOPIC = "bench.bare"
BYSTANDERS = ("campaigns", "loyalty", "webhooks", "insights", "scoring")
PERCENTILES = (50, 95, 99)
STAGES = ("door", "admission", "assessment", "reader")
CONNECTIONS = 64
# A shop that grows from nothing to thousands of orders within a minute would fit its model at every
# step and assess everybody anew: true, but not what is asked here.
ENVIRONMENT = {"SCORING_FIT": "false"}
WARM_SHARE = 0.25
AIMS = {(100, 50): Aim("<=", 5), (100, 99): Aim("<=", 4)}
P99_MS = Aim("<", 100)
_RECORD_BYTES = 400
_MILLISECONDS = 1_000


@dataclass(frozen=True, slots=True)
class _Round:
    """One load in one round: percentiles (ms) of both ways, and the platform's stages (ms)."""

    bare: dict[int, float]
    ours: dict[int, float]
    stages: dict[str, float]


def measure(plan: Plan) -> Table:
    """Every rate in every round; the whole platform first, then only what the order passes."""
    folder = Path(tempfile.mkdtemp(prefix="tenure-bench-"))
    plan.say("latency: the platform starts")
    try:
        with (
            running_platform(
                PlatformOptions(folder, free_base(), environment=ENVIRONMENT)
            ) as platform,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            whole, path = runner.run(_measure(plan, platform))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _table(plan, whole, path)


async def _measure(plan: Plan, platform: Platform) -> tuple[list[_Round], dict[int, list[_Round]]]:
    await KafkaLog(RuntimeSettings(kafka=platform.bootstrap)).ensure_topics(
        [Topic(BARE_TOPIC, "bench", ())]
    )
    gentle = plan.latency_rates[0]
    await _one(plan, platform, gentle, "warm-whole", plan.latency_seconds * WARM_SHARE)
    whole = [
        await _one(plan, platform, gentle, f"whole-{number}", plan.latency_seconds)
        for number in range(plan.rounds)
    ]
    for name in BYSTANDERS:
        platform.stop(name)
    path: dict[int, list[_Round]] = {rate: [] for rate in plan.latency_rates}
    for number in range(plan.rounds):
        for rate in plan.latency_rates:
            found = await _one(plan, platform, rate, f"path-{number}", plan.latency_seconds)
            path[rate].append(found)
    return whole, path


async def _one(plan: Plan, platform: Platform, rate: int, label: str, seconds: float) -> _Round:
    bare = await _bare(platform.bootstrap, rate, label, seconds)
    ours, stages = await _through(platform, rate, label, seconds)
    found = _Round(
        {number: bare.percentile(number) for number in PERCENTILES},
        {number: ours.percentile(number) for number in PERCENTILES},
        stages,
    )
    plan.say(
        f"latency {rate}/s {label}: bare p50 {found.bare[50]:.1f} p99 {found.bare[99]:.1f}, "
        f"ours p50 {found.ours[50]:.1f} p99 {found.ours[99]:.1f} ms"
    )
    return found


async def _bare(kafka: str, rate: int, label: str, seconds: float) -> Trips:
    trips = Trips()
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True)
    await producer.start()

    async def send(name: str, value: bytes) -> None:
        await producer.send_and_wait(BARE_TOPIC, value, key=name.encode())

    items = [(f"{label}-{rate}-{one}", bytes(_RECORD_BYTES)) for one in range(int(rate * seconds))]
    try:
        async with seeing(kafka, BARE_TOPIC, lambda record: trips.saw(record.key.decode())):
            await travel(trips, items, rate, send)
    finally:
        await producer.stop()
    return trips


async def _through(
    platform: Platform, rate: int, label: str, seconds: float
) -> tuple[Trips, dict[str, float]]:
    trips = Trips()
    items = list(_orders(f"{label}-{rate}", int(rate * seconds), platform.keys["ingest"]))
    port = urlsplit(platform.urls["ingest"]).port
    assert port is not None
    async with _stamped(platform.bootstrap) as stamps, pool(port, CONNECTIONS) as client:

        async def send(_name: str, request: bytes) -> None:
            head = await client.ask(request)
            assert head[9:12] == ACCEPTED, f"refused: {head[:40]!r}"

        def see(record: ConsumerRecord) -> None:
            if record.value is not None:
                trips.saw(orjson.loads(record.value).get("cause"))

        async with seeing(platform.bootstrap, ASSESSMENTS.name, see):
            await travel(trips, items, rate, send)
        times = await stamps()
    return trips, _stages(trips, times)


def _orders(seed: str, count: int, key: str) -> Iterable[tuple[str, bytes]]:
    """(event id, request): first orders of as many customers."""
    for one in shop.first_orders(seed=seed, count=count, at=shop.wall_now()):
        yield one.id, request_of(shop.intake_body(one), f"Bearer {key}")


Stamps = dict[str, dict[str, float]]


@asynccontextmanager
async def _stamped(kafka: str) -> AsyncIterator[Callable[[], "asyncio.Future[Stamps]"]]:
    """When (wall clock) each event reached each topic; read after the fact, from where we began."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka)
    await consumer.start()
    topics = (RECEIVED.name, EVENTS.name, ASSESSMENTS.name)
    partitions = [
        TopicPartition(topic, one) for topic in topics for one in range(RECEIVED.partitions)
    ]
    starts = await consumer.end_offsets(partitions)

    async def read() -> Stamps:
        found: Stamps = {topic: {} for topic in topics}
        ends = await consumer.end_offsets(partitions)
        wanted = [one for one in partitions if ends[one] > starts[one]]
        consumer.assign(wanted)
        for one in wanted:
            consumer.seek(one, starts[one])
        while wanted:
            batch = await consumer.getmany(timeout_ms=1_000)
            for records in batch.values():
                for record in records:
                    for name in _ids(record):
                        found[record.topic].setdefault(name, record.timestamp / _MILLISECONDS)
            wanted = [one for one in wanted if await consumer.position(one) < ends[one]]
        return found

    try:
        yield lambda: asyncio.ensure_future(read())
    finally:
        await consumer.stop()


def _ids(record: ConsumerRecord) -> list[str]:
    """The posted events that a record carries or was caused by."""
    if record.value is None:
        return []
    if record.topic == RECEIVED.name:
        return [orjson.loads(line)["id"] for line in record.value.split(b"\n")[1:]]
    name = "cause" if record.topic == ASSESSMENTS.name else "id"
    return [orjson.loads(record.value).get(name)]


def _stages(trips: Trips, times: Stamps) -> dict[str, float]:
    """Median milliseconds between the marks of an order's way."""
    seen_at = {name: trips.left_at[name] + at - trips.due[name] for name, at in trips.seen.items()}
    marks = [trips.left_at, times[RECEIVED.name], times[EVENTS.name], times[ASSESSMENTS.name],
             seen_at]  # fmt: skip
    return {
        stage: median(later[name] - earlier[name] for name in trips.due) * _MILLISECONDS
        for stage, earlier, later in zip(STAGES, marks, marks[1:], strict=False)
    }


def _table(plan: Plan, whole: list[_Round], path: dict[int, list[_Round]]) -> Table:
    rows: list[Row] = []
    for rate, rounds in path.items():
        rows.extend(_ratios(f"{rate:,}/s", rounds, rate))
        rows.extend(
            Row(f"{rate:,}/s: of it {stage}", _ms(stage, [one.stages[stage] for one in rounds]))
            for stage in STAGES
        )
    rows.extend(_ratios(f"{plan.latency_rates[0]:,}/s, all services at work", whole, None))
    return Table(
        "latency",
        "Latency: from posted to assessment visible, beside a bare Kafka round trip",
        tuple(rows),
        (
            "Open loop: a trip begins when it is due. Orders of new customers, one a request. "
            "Visible: read from scoring.assessments, which is after it can be read over HTTP.",
            "Only what an order passes (ingest, its worker, scoring's worker) unless it says "
            "that all services are at work. All on the same cores as the client. The model is not "
            "fitted meanwhile.",
            "Stages are medians: door = until on ingest.received; admission = until on "
            "ingest.events; assessment = until on scoring.assessments; reader = until read there.",
        ),
    )


def _ratios(what: str, rounds: list[_Round], rate: int | None) -> list[Row]:
    rows = [
        compared(
            f"{what}: p{number}",
            _ms("tenure", [one.ours[number] for one in rounds]),
            _ms("bare kafka", [one.bare[number] for one in rounds]),
            aim=AIMS.get((rate, number)) if rate is not None else None,
        )
        for number in PERCENTILES
    ]
    rows.append(Row(f"{what}: p99", _ms("tenure", [one.ours[99] for one in rounds]), aim=P99_MS))
    return rows


def _ms(name: str, values: list[float]) -> Series:
    return Series(name, "ms", tuple(values))
