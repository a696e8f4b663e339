"""(c) Latency: from an order that is due to be posted until its assessment can be read.

The whole platform runs, all services at work on what the orders cause, on the same cores as the
client. Only when its figures are taken, those that an order does not pass are stopped, to tell what
of the way is the path itself.

« Visible » is when a reader of `scoring.assessments` has the assessment that the order caused. It
left scoring after the commit that made it readable over HTTP too, so this is the later of the two,
and watching it costs the platform nothing but one more reader of one topic. What is posted is the
shop's usual mix; its orders, each of a new customer, are timed: the heaviest kind, as it is linked,
assessed and told in all its parts. Beside it, in the same run, records of like size through the
bare broker and back.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from statistics import median
from urllib.parse import urlsplit

import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from bench import shop
from bench.figures import Aim, Row, Series, Table, compared
from bench.load import ACCEPTED, request_of
from bench.plan import Plan, turns
from bench.trips import Item, Trips, pool, seeing, travel
from bench.whole import catch_up, disturbances, pids_of, whole_platform
from shared.events.topics import ASSESSMENTS, EVENTS, RECEIVED, Topic
from shared.runtime.kafka import KafkaLog
from shared.runtime.settings import RuntimeSettings
from stack.platform import Platform

BARE_TOPIC = "bench.bare"
BYSTANDERS = ("campaigns", "loyalty", "webhooks", "insights", "scoring")
PERCENTILES = (50, 95, 99)
STAGES = ("door", "admission", "assessment", "reader")
CUSTOMERS = 20_000
CONNECTIONS = 64
# A shop that grows from nothing to thousands of orders within a minute would fit its model at every
# step and assess everybody anew: true, but not what is asked here.
ENVIRONMENT = {"SCORING_FIT": "false"}
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


@dataclass(frozen=True, slots=True)
class _Found:
    """By rate: all rounds of the whole platform, and of the path alone."""

    whole: dict[int, list[_Round]]
    path: dict[int, list[_Round]]
    spoilt_by: tuple[str, ...]


def measure(plan: Plan) -> Table:
    """Every rate in every round; the whole platform first, then only what the order passes."""
    plan.say("latency: the platform starts")
    with (
        whole_platform(ENVIRONMENT) as platform,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        found = runner.run(_measure(plan, platform))
    return _table(found)


async def _measure(plan: Plan, platform: Platform) -> _Found:
    await KafkaLog(RuntimeSettings(kafka=platform.bootstrap)).ensure_topics(
        [Topic(BARE_TOPIC, "bench", ())]
    )
    gentle = plan.latency_rates[0]
    # A broker in use has long compiled what it runs, and pages and caches are warm.
    await _rounds(replace(plan, rounds=plan.warm_rounds), platform, "warm", plan.latency_rates)
    began_as = pids_of(platform)
    whole = await _rounds(plan, platform, "whole", plan.latency_rates)
    spoilt_by = disturbances(began_as, pids_of(platform))
    for name in BYSTANDERS:
        platform.stop(name)
    path = await _rounds(plan, platform, "path", (gentle,))
    return _Found(whole, path, spoilt_by)


async def _rounds(
    plan: Plan, platform: Platform, label: str, rates: Sequence[int]
) -> dict[int, list[_Round]]:
    """Both sides at every rate in every round; who goes first changes."""
    found: dict[int, list[_Round]] = {rate: [] for rate in rates}
    for number in range(plan.rounds):
        for rate in rates:
            one = await _one(plan, platform, rate, f"{label}-{number}", number)
            found[rate].append(one)
            plan.say(
                f"latency {rate:,}/s {label} round {number + 1}: "
                f"bare p50 {one.bare[50]:.1f} p99 {one.bare[99]:.1f}, "
                f"ours p50 {one.ours[50]:.1f} p99 {one.ours[99]:.1f} ms"
            )
    return found


async def _one(plan: Plan, platform: Platform, rate: int, label: str, number: int) -> _Round:
    """Both sides; what the platform's causes is done before anything else begins."""
    trips: dict[str, Trips] = {}
    stages: dict[str, float] = {}
    for side in turns(("bare", "ours"), number):
        if side == "bare":
            trips[side] = await _bare(platform.bootstrap, rate, label, plan.latency_seconds)
        else:
            trips[side], stages = await _through(platform, rate, label, plan.latency_seconds)
            await asyncio.to_thread(catch_up, platform)
    return _Round(
        {one: trips["bare"].percentile(one) for one in PERCENTILES},
        {one: trips["ours"].percentile(one) for one in PERCENTILES},
        stages,
    )


async def _bare(kafka: str, rate: int, label: str, seconds: float) -> Trips:
    trips = Trips()
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True)
    await producer.start()

    async def send(name: str, value: bytes) -> None:
        await producer.send_and_wait(BARE_TOPIC, value, key=name.encode())

    items = [
        Item(f"{label}-{rate}-{one}", bytes(_RECORD_BYTES)) for one in range(int(rate * seconds))
    ]
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
    items = list(_posts(f"{label}-{rate}", int(rate * seconds), platform.keys["ingest"]))
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


def _posts(seed: str, count: int, key: str) -> Iterable[Item]:
    """One event a request. Every order is of a customer of its own, so that it changes a score."""
    until = shop.wall_now()
    for one in shop.happenings(seed=seed, count=count, customers=CUSTOMERS, until=until):
        is_order = one.type == "order.completed"
        posted = replace(one, customer_id=f"new-{one.id}") if is_order else one
        yield Item(one.id, request_of(shop.intake_body(posted), f"Bearer {key}"), is_order)


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


def _table(found: _Found) -> Table:
    rows: list[Row] = []
    for rate, rounds in found.whole.items():
        rows.extend(_judged(rate, rounds))
        rows.extend(_of_it(f"{rate:,}/s", rounds))
    for rate, rounds in found.path.items():
        rows.extend(
            _beside(f"{rate:,}/s, the path alone: p{number}", rounds, number)
            for number in PERCENTILES
        )
    return Table(
        "latency",
        "Latency: from posted to assessment visible, beside a bare Kafka round trip",
        tuple(rows),
        (
            "Open loop: a trip begins when it is due. The shop's usual mix, one event a request; "
            "its orders (22 in 100), of customers nobody knows yet, are timed. Visible: read from "
            "scoring.assessments, which is after it can be read over HTTP.",
            "All services run and work on the same cores as the client. Between sides everybody "
            "catches up. The model is not fitted meanwhile.",
            "The path alone: only what an order passes (ingest, its worker, scoring's worker).",
            "Stages are medians: door = until on ingest.received; admission = until on "
            "ingest.events; assessment = until on scoring.assessments; reader = until read there.",
        ),
        found.spoilt_by,
    )


def _judged(rate: int, rounds: list[_Round]) -> Iterable[Row]:
    """The whole platform beside the bare broker; the median of the bare trips must stand still."""
    for number in PERCENTILES:
        aim = AIMS.get((rate, number))
        row = _beside(f"{rate:,}/s: p{number}", rounds, number)
        yield replace(row, aim=aim, primary=number == 50, headline=number != 95)
    ours = _ms("tenure", [one.ours[99] for one in rounds])
    yield Row(f"{rate:,}/s: p99 by itself", ours, aim=P99_MS, headline=True)


def _of_it(what: str, rounds: list[_Round]) -> Iterable[Row]:
    for stage in STAGES:
        yield Row(f"{what}: of it {stage}", _ms(stage, [one.stages[stage] for one in rounds]))


def _beside(what: str, rounds: list[_Round], number: int) -> Row:
    return compared(
        what,
        _ms("tenure", [one.ours[number] for one in rounds]),
        _ms("bare kafka", [one.bare[number] for one in rounds]),
    )


def _ms(name: str, values: list[float]) -> Series:
    return Series(name, "ms", tuple(values))
