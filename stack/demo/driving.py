"""Sends a history through a running platform, lets the shop's customers answer, asks what came.

1. The demo's subscriber listens and is registered.
2. History goes out in waves, in time order; between waves the sender waits while the platform is
   behind, so that interventions reach the simulated customers while their history goes on.
3. When nothing is left to do, the public APIs tell the outcome.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import httpx
from rich.console import Console

from shared.clock import monotonic_seconds
from stack.demo import summary
from stack.demo.display import Display
from stack.demo.happening import ORDER, Happening, History, until_order
from stack.demo.sender import Sender, SenderLimits, Tally
from stack.demo.simulator import SimulatedShop
from stack.demo.subscriber import Subscriber, listening, register
from stack.demo.watching import Pace, Watch, settled

REQUEST_SECONDS = 30.0
SETTLE_SECONDS_MAX = 900.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a platform is: URLs and keys by service and scope, processes by name."""

    urls: dict[str, str]
    keys: dict[str, str]
    processes: dict[str, str]
    services: dict[str, str]
    database_url: str
    data_dir: Path


@dataclass(frozen=True, slots=True)
class Drive:
    """How far and how fast. `backlog_max`: events that may be under way at once.

    Few, where customers answer what they are sent: their history must not be over by then. Many,
    where nobody does: larger batches cost less.
    """

    orders_max: int | None = None
    backlog_max: int = 2_000
    wave_events: int = 500
    limits: SenderLimits = SenderLimits()  # noqa: RUF009 — frozen


async def drive(
    place: Place,
    history: History,
    how: Drive,
    console: Console,
    done: Callable[[summary.Outcome], None],
    *,
    stay: bool,
) -> None:
    """Sends, waits, asks, hands the outcome to `done`; with `stay` it goes on listening."""
    subscriber = Subscriber(hear=history.react)
    async with listening(subscriber), _clients(place) as clients:
        await register(subscriber, clients["webhooks"], place.data_dir)
        watch = Watch(clients["public"], place.processes, place.services, place.database_url)
        sender = Sender(clients["ingest"], how.limits)
        started = monotonic_seconds()
        with Display(console, monotonic_seconds) as display:
            await _send(history, how, sender, Pace(watch, how.backlog_max), display)
            seconds = monotonic_seconds() - started
            came_to_rest = await settled(
                watch, display.settling, subscriber.verified.total, seconds_max=SETTLE_SECONDS_MAX
            )
        overview, at_risk, audit = await summary.ask(clients["read"], place.urls, history)
        done(
            summary.Outcome(
                history=history,
                tally=sender.tally,
                subscriber=subscriber,
                seconds=seconds,
                overview=overview,
                at_risk=at_risk,
                audit=audit,
                dead=watch.dead(),
                came_back=history.reactions if isinstance(history, SimulatedShop) else None,
                came_to_rest=came_to_rest,
            )
        )
        if stay:
            await asyncio.Event().wait()


async def _send(history: History, how: Drive, sender: Sender, pace: Pace, display: Display) -> None:
    orders = 0
    happenings = until_order(history.happenings(), how.orders_max)
    await pace.room(0)
    while wave := list(islice(happenings, how.wave_events)):
        await sender.send(wave)
        await pace.room(sender.tally.accepted)
        orders += sum(one.type == ORDER for one in wave)
        share = _share(history, wave[-1], orders, how.orders_max)
        display.sent(f"{wave[-1].at:%d %b %Y}", share, _sent(sender.tally), pace.backlog)


def _sent(tally: Tally) -> int:
    return tally.accepted + tally.rejected.total()


def _share(history: History, last: Happening, orders: int, orders_max: int | None) -> float:
    """How much of the history has been sent, 0 to 1, by time or by orders."""
    whole = (history.ends_at - history.starts_at).total_seconds()
    by_time = (last.at - history.starts_at).total_seconds() / whole if whole else 1.0
    by_orders = orders / orders_max if orders_max else 0.0
    return min(1.0, max(0.0, by_time, by_orders))


@asynccontextmanager
async def _clients(place: Place) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    """One client per key and door; never through a proxy, as all of them are on this machine."""

    def client(key: str | None, url: str = "") -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {place.keys[key]}"} if key else {}
        return httpx.AsyncClient(
            base_url=url, headers=headers, timeout=REQUEST_SECONDS, trust_env=False
        )

    async with (
        client("ingest", place.urls["ingest"]) as ingest,
        client("admin", place.urls["webhooks"]) as webhooks,
        client("read") as read,
        client(None) as public,
    ):
        yield {"ingest": ingest, "webhooks": webhooks, "read": read, "public": public}
