"""Replays the first invoices of the real log through a platform, and takes its final state.

Posting goes on while a disturbance does its work; it only slows down, so that there is something to
disturb until the end.

A snapshot holds what must be equal after any disturbance: the inputs of scores, the ledger, and the
deliveries. Times of recording, batch numbers and places in a sequence are left out: two undisturbed
runs differ in them too.
"""

import asyncio
import json
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from shared.clock import monotonic_seconds
from shared.runtime.failpoints import FailPoints
from shared.testing.receiver import Receiver, receiving
from stack.demo.happening import Happening
from stack.demo.online_retail import load
from stack.demo.sender import Sender
from stack.demo.watching import Watch, settled
from stack.platform import Platform, PlatformOptions
from stack.processes import ProcessPlan
from tests.simulation.faults import until
from tests.simulation.naive import SideBySide

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("TENURE_DATA", ROOT / ".." / "shared" / "data"))
INVOICES = 3_000
PIECE = 30
# Between two pieces while somebody disturbs: the second when more than half has been posted.
DISTURBED_SECONDS = (0.15, 0.6)
# What is kept back until the disturbance is over, so that the end of it meets events too.
LAST_SHARE = 0.1
DISTURBANCE_SECONDS_MAX = 120.0
SETTLE_SECONDS = 240.0
ENVIRONMENT = {
    "WEBHOOKS_ALLOWED_NETWORKS": "127.0.0.0/8",
    # A refit depends on when it happens; scores must be a function of the events alone here.
    "SCORING_FIT": "false",
    # The sweep for silence depends on how far others are; without it reviews that fell due are
    # made when the customer's next event comes, as of their due time, which no kill can move.
    "SCORING_REVIEW_GRACE_HOURS": "1000000",
    # What was on its way when its sender was killed comes again soon.
    "WEBHOOKS_CALL_SECONDS_MAX": "5",
    "WEBHOOKS_LEASE_SECONDS": "8",
}

# An order and the threshold that it answers come on two topics. Which of them campaigns reads first
# decides whether the order ends a journey, converts it, or comes before it: that is time.
RACING = ("journey.left", "intervention.converted")

NAIVE = "naive.counts"
QUERIES = {
    NAIVE: "SELECT customer_id, orders FROM naive.counts ORDER BY 1",
    "scoring.states": "SELECT customer_id, state FROM scoring.states ORDER BY 1",
    "scoring.purchases": (
        "SELECT customer_id, order_id, minor, currency, cancelled, refunds, refunded_minor "
        "FROM scoring.purchases ORDER BY 1, 2"
    ),
    "scoring.links": "SELECT customer_id, parent_id, root_id FROM scoring.links ORDER BY 1",
    "loyalty.entries": (
        "SELECT customer_id, id::text, kind, cause, rule, reason, order_id, lot_id::text, "
        "reverses::text, active, reserved, debt, issued, expired, written_off "
        "FROM loyalty.entries ORDER BY id"
    ),
    "loyalty.lots": (
        "SELECT customer_id, id::text, points, remaining, reversed, expired "
        "FROM loyalty.lots ORDER BY id"
    ),
    "loyalty.accounts": (
        "SELECT customer_id, active, reserved, debt, earned, tier FROM loyalty.accounts ORDER BY 1"
    ),
    "ingest.identities": "SELECT id, canonical_id, known FROM ingest.identities ORDER BY 1",
    "webhooks.deliveries": (
        "SELECT m.event_id, m.event_type, m.subject, d.status FROM webhooks.deliveries d "
        "JOIN webhooks.messages m ON m.id = d.message_id "
        f"WHERE m.event_type NOT IN {RACING} ORDER BY 1, 2"
    ),
}


@dataclass(slots=True)
class Snapshot:
    """Rows of every query as JSON lines; webhooks that a subscriber verified, by type."""

    rows: dict[str, list[str]]
    delivered: Counter[str] = field(default_factory=Counter)

    def differences(self, other: "Snapshot") -> dict[str, list[str]]:
        """What one has and the other has not, at most a few rows of each."""
        found = {}
        for name, rows in self.rows.items():
            mine, theirs = Counter(rows), Counter(other.rows[name])
            if mine != theirs:
                lacking = [f"- {row}" for row in islice((mine - theirs).elements(), 4)]
                surplus = [f"+ {row}" for row in islice((theirs - mine).elements(), 4)]
                found[name] = [f"{len(rows)} rows, then {theirs.total()}", *lacking, *surplus]
        if self.delivered != other.delivered:
            found["delivered"] = [f"- {dict(self.delivered)}", f"+ {dict(other.delivered)}"]
        return found


def invoices(count: int = INVOICES) -> list[Happening]:
    """The first events of the real log; a missing log is an error, not a skip."""
    return list(islice(load(DATA / "online_retail.parquet").happenings(), count))


def options(
    folder: Path, port_base: int, processes: Sequence[ProcessPlan] | None = None
) -> PlatformOptions:
    return PlatformOptions(
        data_dir=folder,
        port_base=port_base,
        clock="event",
        environment=ENVIRONMENT,
        processes=processes,
    )


@dataclass(slots=True)
class Posting:
    """How far the history has been posted, for whoever disturbs it."""

    total: int
    sender: Sender
    sent: int = 0

    async def at(self, share: float) -> None:
        """Once this share of the history has been acknowledged."""
        await until(self._reached(self.total * share))

    async def more(self, events: int) -> None:
        """Once so many more have been acknowledged."""
        await until(self._reached(self.sent + events))

    async def refused(self) -> None:
        """Once a request that gets no answer, or is told to come later, is sent again."""
        before = self.sender.tally.resent_requests

        async def again() -> bool:
            return self.sender.tally.resent_requests > before

        await until(again)

    def _reached(self, count: float) -> Callable[[], Awaitable[bool]]:
        async def reached() -> bool:
            return self.sent >= count

        return reached


Disturb = Callable[[Posting], Awaitable[None]]


async def undisturbed(_posting: Posting) -> None:
    """Nobody does anything."""


async def replay(
    platform: Platform,
    happenings: Iterable[Happening],
    disturb: Disturb = undisturbed,
    naive: FailPoints | None = None,
) -> Snapshot:
    """Posts everything while `disturb` runs, waits until all is done, and takes the state.

    The textbook recipe reads the same events beside us, with its own fail-points.
    """
    happenings, began = list(happenings), monotonic_seconds()
    beside = SideBySide(platform, naive or FailPoints({}))
    async with beside.running(), receiving() as receiver:
        await _subscribe(platform, receiver)
        async with httpx.AsyncClient(
            base_url=platform.urls["ingest"],
            headers={"Authorization": f"Bearer {platform.keys['ingest']}"},
            timeout=30,
            trust_env=False,
        ) as client:
            posting = Posting(len(happenings), Sender(client))
            disturbing = asyncio.ensure_future(disturb(posting))
            await _post(posting, happenings, disturbing)
            tally = posting.sender.tally
            assert disturbing.done(), "the disturbance never ended"
            assert tally.accepted == len(happenings), tally.rejected
        await asyncio.to_thread(platform.wait_until_ready, 90.0)
        sent_at = monotonic_seconds()
        await _settle(platform, receiver)
        await beside.caught_up()
        print(f"sent in {sent_at - began:.0f} s, settled in {monotonic_seconds() - sent_at:.0f} s")
        summary = receiver.summary()
    assert not summary["problems"]
    delivered = {kind: n for kind, n in summary["by_type"].items() if kind not in RACING}
    return Snapshot(await _rows(platform.database_url), Counter(delivered))


async def _post(
    posting: Posting, happenings: list[Happening], disturbing: "asyncio.Future[None]"
) -> None:
    try:
        for first in range(0, len(happenings), PIECE):
            piece = happenings[first : first + PIECE]
            await posting.sender.send(piece)
            posting.sent += len(piece)
            pause = DISTURBED_SECONDS[posting.sent * 2 > posting.total]
            if posting.sent >= posting.total * (1 - LAST_SHARE):
                pause = DISTURBANCE_SECONDS_MAX
            await asyncio.wait({disturbing}, timeout=pause)
            if disturbing.done():
                disturbing.result()
    finally:
        disturbing.cancel()


async def _subscribe(platform: Platform, receiver: Receiver) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        reply = await client.post(
            f"{platform.urls['webhooks']}/v1/endpoints",
            json={"url": receiver.url, "event_types": ["*"]},
            headers={"Authorization": f"Bearer {platform.keys['admin']}"},
        )
    assert reply.status_code == 201, reply.text
    receiver.trust(reply.json()["secret"])


async def _settle(platform: Platform, receiver: Receiver) -> None:
    plans = platform.supervisor.plans
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
        watch = Watch(
            client,
            {plan.name: plan.url for plan in plans},
            {plan.name: plan.service for plan in plans},
            platform.database_url,
        )
        seen: list[str] = []
        still = await settled(
            watch, seen.append, lambda: len(receiver.calls), seconds_max=SETTLE_SECONDS
        )
    # A delivery that was on its way when its sender was killed is tried again after its lease.
    async with asyncio.timeout(SETTLE_SECONDS):
        while await _pending(platform.database_url):
            await asyncio.sleep(0.5)
    assert still, f"the platform did not come to rest: {seen[-3:]}"


async def _pending(database_url: str) -> int:
    connection = await asyncpg.connect(database_url)
    try:
        return int(
            await connection.fetchval(
                "SELECT count(*) FROM webhooks.deliveries WHERE status = 'pending'"
            )
        )
    finally:
        await connection.close()


async def _rows(database_url: str) -> dict[str, list[str]]:
    connection = await asyncpg.connect(database_url)
    try:
        return {
            name: [_line(row) for row in await connection.fetch(query)]
            for name, query in QUERIES.items()
        }
    finally:
        await connection.close()


def _line(row: Any) -> str:
    return json.dumps(list(row), default=str, sort_keys=True)
