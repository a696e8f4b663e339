"""How far the platform is: counters that survive restarts, and when it has come to rest."""

import asyncio
from collections.abc import Sequence

import httpx
import pytest

from stack.demo.watching import Counters, Pace, Watch, handled, settled

EXPOSITION = """
# HELP tenure_consumer_events_total Events handled, by outcome
# TYPE tenure_consumer_events_total counter
tenure_consumer_events_total{outcome="applied",topic="ingest.events"} 1200.0
tenure_consumer_events_total{outcome="dead",topic="ingest.events"} 1.0
tenure_consumer_events_total{outcome="applied",topic="loyalty.points"} 1e+06
tenure_consumer_events_created{outcome="applied",topic="ingest.events"} 1.7e+09
tenure_relay_records_total 5.0
"""


def test_the_counters_are_found_in_prometheus_text() -> None:
    assert handled(EXPOSITION) == {
        ("ingest.events", "applied"): 1200.0,
        ("ingest.events", "dead"): 1.0,
        ("loyalty.points", "applied"): 1e6,
    }


def test_a_restart_does_not_lose_what_was_counted() -> None:
    counters = Counters()
    for value in (100.0, 150.0, 20.0, 30.0):
        counters.observe({("ingest.events", "applied"): value})
    assert counters.of("ingest.events") == 50 + 20 + 10
    assert counters.of("ingest.events", "dead") == 0


class Platform:
    """Answers `/metrics` and `/readyz` of six services from what a test sets."""

    def __init__(self) -> None:
        self.received = 0
        self.admitted = 0
        self.read: dict[str, int] = {}
        self.lag = 0
        self.away: set[str] = set()

    def answer(self, request: httpx.Request) -> httpx.Response:
        service = request.url.host
        if service in self.away:
            raise httpx.ConnectError("refused")
        if request.url.path == "/readyz":
            return httpx.Response(200, json={"lag_records": {"a": self.lag, "b": 0}})
        name = 'tenure_consumer_events_total{outcome="%s",topic="%s"} %d\n'
        if service == "ingest":
            duplicates = self.received - self.admitted
            text = name % ("applied", "ingest.received", self.admitted)
            return httpx.Response(200, text=text + name % ("duplicate", "any", duplicates))
        text = name % ("applied", "ingest.events", self.read.get(service, 0))
        return httpx.Response(200, text=text)

    def watch(self, outbox: Sequence[int | None] = (0,)) -> "QuickWatch":
        names = ("ingest", "scoring", "campaigns", "loyalty", "webhooks", "insights")
        client = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))
        made = QuickWatch(client, {n: f"http://{n}" for n in names}, {n: n for n in names}, "")
        made.outbox = list(outbox)
        return made

    def everybody_read(self, events: int) -> None:
        self.read = dict.fromkeys(
            ("scoring", "campaigns", "loyalty", "webhooks", "insights"), events
        )


class QuickWatch(Watch):
    """Outboxes from a list: the last figure stays."""

    outbox: list[int | None]

    async def waiting_to_leave(self) -> int | None:
        return self.outbox.pop(0) if len(self.outbox) > 1 else self.outbox[0]


@pytest.mark.parametrize(
    ("received", "admitted", "slowest", "backlog"),
    [(0, 0, 0, 100), (60, 60, 0, 100), (100, 100, 100, 0), (100, 80, 80, 0), (100, 100, 30, 70)],
)
async def test_the_backlog_is_what_the_slowest_reader_still_has_to_do(
    received: int, admitted: int, slowest: int, backlog: int
) -> None:
    platform = Platform()
    watch = platform.watch()
    await watch.look()
    platform.received, platform.admitted = received, admitted
    platform.everybody_read(100)
    platform.read["loyalty"] = slowest
    await watch.look()
    assert watch.backlog(accepted=100) == backlog


async def test_what_was_there_before_the_demo_does_not_count() -> None:
    platform = Platform()
    platform.received = platform.admitted = 5_000
    platform.everybody_read(4_000)
    watch = platform.watch()
    await watch.look()
    assert watch.backlog(accepted=10) == 10


async def test_the_sender_waits_until_there_is_room() -> None:
    platform = Platform()
    watch = platform.watch()
    await watch.look()

    original = platform.answer

    def reads_on(request: httpx.Request) -> httpx.Response:
        platform.received = platform.admitted = min(100, platform.received + 10)
        platform.everybody_read(platform.received)
        return original(request)

    watch.client = httpx.AsyncClient(transport=httpx.MockTransport(reads_on))
    pace = Pace(watch, backlog_max=20)
    await pace.room(accepted=100)
    assert pace.backlog <= 20


async def test_events_that_nobody_ever_handles_hold_up_the_sender_only_once() -> None:
    platform = Platform()
    watch = platform.watch()
    await watch.look()
    pace = Pace(watch, backlog_max=20, stuck_seconds=0.3)
    await pace.room(accepted=100)
    assert pace.backlog == 0
    async with asyncio.timeout(0.2):
        await pace.room(accepted=115)
    assert pace.backlog == 15
    platform.received = platform.admitted = 115
    platform.everybody_read(115)
    await pace.room(accepted=115)
    assert pace.backlog == 0


async def rest(platform: Platform, watch: Watch, seconds: float = 5.0) -> tuple[bool, list[str]]:
    lines: list[str] = []
    found = await settled(watch, lines.append, lambda: 7, seconds_max=seconds, still_seconds=0.3)
    return found, lines


async def test_it_rests_when_nothing_waits_and_nothing_moves() -> None:
    platform = Platform()
    found, lines = await rest(platform, platform.watch(outbox=[5, None, 2, 0]))
    assert found
    assert lines[0] == "0 records to read, 5 to send, 7 delivered"
    assert "0 records to read, ? to send, 7 delivered" in lines


async def test_it_does_not_rest_while_there_is_lag_or_somebody_is_away() -> None:
    platform = Platform()
    platform.lag = 3
    assert not (await rest(platform, platform.watch(), 0.6))[0]
    platform.lag = 0
    platform.away = {"loyalty"}
    found, lines = await rest(platform, platform.watch(), 0.6)
    assert not found
    assert lines[0].startswith("? records to read")
