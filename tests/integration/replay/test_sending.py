"""A replay against a door that refuses, is slow, or goes away in the middle."""

import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from rich.console import Console

from shared.clock import monotonic_seconds
from shared.retry import Backoff
from stack.demo.display import Display
from stack.demo.sender import SenderLimits
from stack.errors import StackError
from stack.replay.journal import FOLDER, Journal
from stack.replay.mapping import read_mapping
from stack.replay.records import open_source
from stack.replay.sending import Destination, send, validate
from tests.integration.demo.serving import serving

LIMITS = SenderLimits(
    lanes=1,
    batch_events_max=100,
    patience_seconds=0.3,
    backoff=Backoff(first_seconds=0.01, max_seconds=0.02),
)
MAPPING = read_mapping(
    {
        "type": "order.completed",
        "columns": {
            "no": ["id", "data.order_id"], "who": "customer_id", "at": "occurred_at",
            "sum": "data.total",
        },
        "constants": {"data.currency": "GBP"},
    }
)  # fmt: skip


class Door:
    """Ingest as its contract has it: counts what it takes; rows with a sum of -1 are refused.

    After `stays` requests it is away until somebody sets that anew.
    """

    def __init__(self, stays: int | None = None, status: int = 503) -> None:
        self.stays = stays
        self.status = status
        self.taken: list[str] = []
        self.requests = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Authorization"] == "Bearer k"
        events = (await request.json())["events"]
        if self.stays is not None and self.requests >= self.stays:
            return web.json_response({"detail": "as planned"}, status=self.status)
        self.requests += 1
        verdict: dict[str, list[Any]] = {"accepted": [], "rejected": []}
        for index, event in enumerate(events):
            if event["data"]["total"] == "-1":
                flaw = {"path": f"events.{index}.data.total", "message": "below 0"}
                verdict["rejected"].append({"index": index, "id": event["id"], "errors": [flaw]})
            else:
                verdict["accepted"].append({"index": index, "id": event["id"]})
                self.taken.append(event["id"])
        return web.json_response(verdict, status=202 if verdict["accepted"] else 422)


def orders(path: Path, count: int, bad: Callable[[int], bool] = lambda _: False) -> Path:
    rows = [
        f"o-{number},c-{number % 9},2024-01-02T00:00:00Z,{-1 if bad(number) else 5}"
        for number in range(count)
    ]
    path.write_text("\n".join(["no,who,at,sum", *rows, ""]))
    return path


def journal(tmp_path: Path, path: Path, *, anew: bool = False) -> Journal:
    return Journal.opened(tmp_path, path, {"mapping": "m"}, anew=anew)


def quiet() -> Display:
    return Display(Console(file=io.StringIO()), monotonic_seconds)


async def replayed(
    door: Door, tmp_path: Path, path: Path, *, anew: bool = False, rate: float | None = None
) -> Journal:
    noted = journal(tmp_path, path, anew=anew)
    source = open_source(path, None, MAPPING, ",")
    async with serving(door.handle) as url:
        with quiet() as display:
            await send(source, Destination(url, "k", rate), noted, display, LIMITS)
    return noted


def rejected(noted: Journal) -> list[dict[str, Any]]:
    if not noted.rejected_path.exists():
        return []
    return [json.loads(line) for line in noted.rejected_path.read_text().splitlines()]


async def test_everything_is_sent_in_the_order_of_the_file_and_counted(tmp_path: Path) -> None:
    door = Door()
    noted = await replayed(door, tmp_path, orders(tmp_path / "a.csv", 4_500))

    assert door.taken == [f"o-{number}" for number in range(4_500)]
    progress = noted.progress
    assert (progress.records, progress.accepted, progress.rejected) == (4_500, 4_500, 0)
    assert progress.by_type == {"order.completed": 4_500}
    assert progress.finished
    assert rejected(noted) == []


async def test_what_is_refused_is_kept_with_line_column_and_reason(tmp_path: Path) -> None:
    path = orders(tmp_path / "a.csv", 20, bad=lambda number: number in (3, 7))
    path.write_text(path.read_text() + "o-x,c-1,never,5\n")
    noted = await replayed(Door(), tmp_path, path)

    found = rejected(noted)
    assert [one["line"] for one in found] == [5, 9, 22]
    assert found[0]["flaws"] == [{"column": "sum", "path": "data.total", "reason": "below 0"}]
    assert [flaw["column"] for flaw in found[2]["flaws"]] == ["at"]
    assert found[0]["row"]["no"] == "o-3"
    assert (noted.progress.accepted, noted.progress.rejected) == (18, 3)
    assert noted.rejected_path.stat().st_mode & 0o077 == 0


async def test_after_an_interruption_only_the_rest_is_sent(tmp_path: Path) -> None:
    path = orders(tmp_path / "a.csv", 6_000, bad=lambda number: number % 100 == 50)
    door = Door(stays=35)  # 20 requests a wave: it leaves within the second
    with pytest.raises(StackError, match="away"):
        await replayed(door, tmp_path, path)
    assert journal(tmp_path, path).progress.records == 2_000

    door.stays = None
    noted = await replayed(door, tmp_path, path)

    wanted = {f"o-{number}" for number in range(6_000) if number % 100 != 50}
    counts = Counter(door.taken)
    assert counts.keys() == wanted
    # The wave under way is sent once more, with the same ids, and nothing that was noted.
    assert {one for one, count in counts.items() if count > 1} <= {
        f"o-{number}" for number in range(2_000, 4_000)
    }
    assert (noted.progress.accepted, noted.progress.rejected) == (5_940, 60)
    assert len(rejected(noted)) == 60


async def test_rejected_rows_that_were_written_and_not_noted_are_written_once(
    tmp_path: Path,
) -> None:
    path = orders(tmp_path / "a.csv", 2_500, bad=lambda number: number % 1_000 == 7)
    door = Door(stays=20)
    with pytest.raises(StackError):
        await replayed(door, tmp_path, path)
    noted = journal(tmp_path, path)
    with noted.rejected_path.open("ab") as file:
        file.write(b'{"cut": "in the mid')  # killed between the rows and the note

    door.stays = None
    noted = await replayed(door, tmp_path, path)
    assert [one["line"] for one in rejected(noted)] == [9, 1_009, 2_009]


async def test_a_finished_file_stays_finished_until_it_is_asked_for_anew(tmp_path: Path) -> None:
    path = orders(tmp_path / "a.csv", 10, bad=lambda number: number == 1)
    door = Door()
    await replayed(door, tmp_path, path)
    assert journal(tmp_path, path).progress.finished

    again = await replayed(door, tmp_path, path, anew=True)
    assert Counter(door.taken) == dict.fromkeys((f"o-{n}" for n in range(10) if n != 1), 2)
    assert (again.progress.accepted, len(rejected(again))) == (9, 1)


async def test_another_file_or_mapping_has_a_progress_of_its_own(tmp_path: Path) -> None:
    path = orders(tmp_path / "a.csv", 10)
    await replayed(Door(), tmp_path, path)
    assert not Journal.opened(tmp_path, path, {"mapping": "n"}, anew=False).progress.records
    orders(path, 11)
    assert not journal(tmp_path, path).progress.records


@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_that_is_refused_ends_it_with_one_line(tmp_path: Path, status: int) -> None:
    path = orders(tmp_path / "a.csv", 10)
    with pytest.raises(StackError, match="as planned"):
        await replayed(Door(stays=0, status=status), tmp_path, path)
    assert not journal(tmp_path, path).progress.records


async def test_a_rate_is_kept(tmp_path: Path) -> None:
    started = monotonic_seconds()
    await replayed(Door(), tmp_path, orders(tmp_path / "a.csv", 30), rate=60.0)
    assert 0.45 <= monotonic_seconds() - started < 5


def test_a_note_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    path = orders(tmp_path / "a.csv", 1)
    journal(tmp_path, path).save()
    (note,) = (tmp_path / FOLDER).glob("*.json")
    note.write_text('{"file": ')
    with pytest.raises(StackError, match=r"--restart.*INBOX_RETENTION_DAYS"):
        journal(tmp_path, path)
    assert journal(tmp_path, path, anew=True).progress.records == 0


def test_a_dry_run_judges_by_the_door_s_rules_without_a_door(tmp_path: Path) -> None:
    path = orders(tmp_path / "a.csv", 3_000, bad=lambda number: number in (5, 2_500))
    noted = Journal(Path(), Path(), journal(tmp_path, path).progress)
    with quiet() as display:
        validate(open_source(path, None, MAPPING, ","), noted, display)
    assert (noted.progress.accepted, noted.progress.rejected) == (2_998, 2)
    assert noted.progress.reasons == {
        "sum → data.total: Input should be greater than or equal to 0": 2
    }
