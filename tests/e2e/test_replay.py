"""`tenure replay` against the running platform, killed in the middle; CloudEvents over the wire."""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.clock import wall_now
from stack.demo.watching import Watch, settled
from stack.platform import Platform
from tests.e2e.conftest import bearer, eventually

ROWS = 6_000
CUSTOMERS = 40
BAD_LINES = (17, 5_017)
PATIENCE_SECONDS = 60.0
STILL_SECONDS = 1.0
COMMAND_SECONDS = 120.0
MAPPED = (
    "--map", "no=id", "--map", "no=data.order_id", "--map", "who=customer_id",
    "--map", "at=occurred_at", "--map", "sum=data.total",
    "--set", "data.currency=GBP", "--set", "type=order.completed",
)  # fmt: skip


def customer(number: int) -> str:
    return f"past-{number * 7 % CUSTOMERS}"


@pytest.fixture
def orders(tmp_path: Path) -> tuple[Path, Counter[str]]:
    """A file of orders of the last days, two of them not acceptable, and the points they bring."""
    start = wall_now() - timedelta(days=5)
    points: Counter[str] = Counter()
    lines = ["no,who,at,sum"]
    for number in range(ROWS):
        bad = len(lines) + 1 in BAD_LINES
        at = (start + timedelta(minutes=number)).isoformat()
        lines.append(f"past-{number},{customer(number)},{at},{'-3' if bad else '3.00'}")
        points[customer(number)] += 0 if bad else 3
    path = tmp_path / "orders.csv"
    path.write_text("\n".join([*lines, ""]))
    return path, points


def command(platform: Platform, path: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "stack.cli", "replay", str(path),
        "--data-dir", str(platform.data_dir), *MAPPED, *more,
    ]  # fmt: skip


def note(platform: Platform) -> dict[str, Any]:
    for path in (platform.data_dir / "replays").glob("*.json"):
        return dict(json.loads(path.read_text()))
    return {"records": 0}


async def killed_in_the_middle(platform: Platform, path: Path) -> int:
    """Starts a slow replay and kills it when a part has its answers; how many rows had."""
    # In a session of its own, so that nothing of it survives.
    slow = await asyncio.create_subprocess_exec(
        *command(platform, path, "--rate", "1000"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            while note(platform)["records"] < 2_000:
                assert slow.returncode is None, "it ended before it could be killed"
                await asyncio.sleep(0.01)
    finally:
        os.killpg(slow.pid, 9)
        await slow.wait()
    return int(note(platform)["records"])


def replayed(platform: Platform, path: Path, *more: str) -> str:
    done = subprocess.run(
        command(platform, path, *more),
        capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


async def points_are(platform: Platform, client: httpx.AsyncClient, points: Counter[str]) -> None:
    for name, wanted in points.items():
        url = f"{platform.urls['loyalty']}/v1/members/{name}"
        reply = await eventually(
            lambda url=url: client.get(url, headers=bearer(platform, "read")),  # type: ignore[misc]
            lambda r, wanted=wanted: (  # type: ignore[misc]
                r.status_code == 200 and r.json()["balance"]["active"] >= wanted
            ),
            PATIENCE_SECONDS,
        )
        assert reply.json()["balance"]["active"] == wanted, name


async def at_rest(platform: Platform, client: httpx.AsyncClient) -> bool:
    """Whether all services came to have nothing left to do."""
    plans = platform.supervisor.plans
    processes = {plan.name: plan.url for plan in plans}
    services = {plan.name: plan.service for plan in plans}
    watch = Watch(client, processes, services, platform.database_url)
    return await settled(
        watch, lambda _: None, lambda: 0, seconds_max=PATIENCE_SECONDS, still_seconds=STILL_SECONDS
    )


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=10, trust_env=False) as made:
        yield made


async def test_a_replay_that_is_killed_goes_on_and_nothing_counts_twice(
    platform: Platform, client: httpx.AsyncClient, orders: tuple[Path, Counter[str]]
) -> None:
    path, points = orders
    behind = await killed_in_the_middle(platform, path)
    assert 2_000 <= behind < ROWS

    told = replayed(platform, path)

    assert f"going on behind line {behind:,}" in told
    progress = note(platform)
    assert progress["finished"]
    assert (progress["accepted"], progress["rejected"]) == (ROWS - len(BAD_LINES), len(BAD_LINES))
    (rejected,) = (platform.data_dir / "replays").glob("*.rejected.jsonl")
    rows = [json.loads(line) for line in rejected.read_text().splitlines()]
    assert [(row["line"], row["flaws"][0]["column"]) for row in rows] == [
        (line, "sum") for line in BAD_LINES
    ]
    assert str(rejected) in told
    await points_are(platform, client, points)

    assert "has been sent already" in replayed(platform, path)
    replayed(platform, path, "--restart")
    assert await at_rest(platform, client)
    await points_are(platform, client, points)


async def test_cloud_events_in_all_modes_bring_points_over_the_wire(
    platform: Platform, client: httpx.AsyncClient
) -> None:
    url = f"{platform.urls['ingest']}/v1/events"
    at = wall_now().isoformat()

    def attributes(number: int) -> dict[str, str]:
        return {
            "specversion": "1.0",
            "id": f"cloud {number} €",
            "source": "/shop",
            "type": "order.completed",
            "subject": f"cloud-{number}",
            "time": at,
        }

    def data(number: int) -> dict[str, str]:
        return {"order_id": f"cloud-{number}", "total": "7.00", "currency": "GBP"}

    def whole(number: int) -> dict[str, Any]:
        return attributes(number) | {"data": data(number)}

    async def post(media_type: str, body: Any, **headers: str) -> Any:
        return await client.post(
            url,
            content=json.dumps(body),
            headers={"Content-Type": media_type, **headers, **bearer(platform, "ingest")},
        )

    encoded = {
        f"ce-{name}": value.replace(" ", "%20").replace("€", "%E2%82%AC")
        for name, value in attributes(0).items()
    }
    for reply, ids in (
        (await post("application/json", data(0), **encoded), ["cloud 0 €"]),
        (await post("application/cloudevents+json", whole(1)), ["cloud 1 €"]),
        (
            await post("application/cloudevents-batch+json", [whole(2), whole(0)]),
            ["cloud 2 €", "cloud 0 €"],
        ),
    ):
        assert reply.status_code == 202, reply.text
        assert [one["id"] for one in reply.json()["accepted"]] == ids
    await points_are(platform, client, Counter({f"cloud-{number}": 7 for number in range(3)}))
