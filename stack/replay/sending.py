"""Sends the rows of a file in waves; after each the journal says how far we are."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import httpx

from shared.clock import monotonic_seconds, wall_now
from shared.ids import random_event_id
from stack.demo.display import Display
from stack.demo.sender import Sender, SenderLimits
from stack.replay.journal import Journal
from stack.replay.mapping import Flaw
from stack.replay.records import Record, Source

# One after the other, so that everything happens in the order of the file.
LIMITS = SenderLimits(lanes=1, batch_events_max=500)
REQUEST_SECONDS = 30.0
WAVE_RECORDS = 2_000


@dataclass(frozen=True, slots=True)
class Destination:
    """The door and the key; `per_second` bounds the events, None means as fast as it takes them."""

    url: str
    key: str
    per_second: float | None = None


async def send(
    source: Source,
    where: Destination,
    journal: Journal,
    display: Display,
    limits: SenderLimits = LIMITS,
) -> None:
    """Sends what is not yet noted as sent. Raises `StackError` when the door stays away or refuses
    the key: what was noted until then stays noted."""
    headers = {"Authorization": f"Bearer {where.key}"}
    async with httpx.AsyncClient(
        base_url=where.url, headers=headers, timeout=REQUEST_SECONDS, trust_env=False
    ) as client:
        refused: list[tuple[Record, Flaw]] = []

        def on_rejected(record: Record, errors: Sequence[dict[str, Any]]) -> None:
            refused.extend((record, _flaw(source, error)) for error in errors)

        sender = Sender(client, limits, on_rejected=on_rejected)
        started, sent = monotonic_seconds(), 0
        waves = islice(source.records(), journal.progress.records, None)
        while wave := list(islice(waves, _wave_records(where.per_second))):
            events = [one for one in wave if one.event is not None]
            try:
                await sender.send(events)
            except ExceptionGroup as group:
                raise group.exceptions[0] from None
            _note(journal, wave, refused)
            refused.clear()
            sent += len(events)
            seconds = monotonic_seconds() - started
            figures = (
                f"{journal.progress.records:,} {source.unit}s  {sent / max(seconds, 1e-3):,.0f}/s"
            )
            display.show(f"{source.unit} {wave[-1].line:,}", figures, wave[-1].share)
            if where.per_second is not None:
                await asyncio.sleep(max(0.0, sent / where.per_second - seconds))
    journal.progress.finished = True
    journal.save()


def validate(source: Source, journal: Journal, display: Display) -> None:
    """Asks nobody: the rows are judged by the rules of the door, here."""
    from services.ingest.domain.verdict import Limits, judge

    records = source.records()
    while wave := list(islice(records, WAVE_RECORDS)):
        events = [one for one in wave if one.event is not None]
        refused: list[tuple[Record, Flaw]] = []
        if events:
            body = json.dumps({"events": [one.event for one in events]}).encode()
            verdicts = judge(body, Limits(events_max=WAVE_RECORDS), wall_now(), random_event_id)
            refused = [
                (events[one.place], _flaw(source, _at_event(error, one.place)))
                for one in verdicts.rejected
                for error in one.errors
            ]
        _count(journal, wave, refused)
        figures = f"{journal.progress.records:,} {source.unit}s"
        display.show(f"{source.unit} {wave[-1].line:,}", figures, wave[-1].share)


def _note(journal: Journal, wave: Sequence[Record], refused: Sequence[tuple[Record, Flaw]]) -> None:
    journal.reject(_count(journal, wave, refused))
    journal.save()


def _count(
    journal: Journal, wave: Sequence[Record], refused: Sequence[tuple[Record, Flaw]]
) -> list[tuple[Record, Flaw]]:
    """Counts a wave; the rows of it that are no events or were not taken, in their order."""
    progress = journal.progress
    rejected = [(one, one.flaw) for one in wave if one.flaw is not None]
    rejected = sorted([*rejected, *refused], key=lambda pair: pair[0].line)
    lines = {record.line for record, _ in rejected}
    progress.records += len(wave)
    progress.rejected += len(lines)
    progress.accepted += len(wave) - len(lines)
    progress.by_type.update(one.type for one in wave if one.line not in lines)
    progress.reasons.update(told(flaw) for _, flaw in rejected)
    return rejected


def told(flaw: Flaw) -> str:
    """A flaw in a line: column, path and reason, as far as there are."""
    where = " → ".join(dict.fromkeys(part for part in (flaw.column, flaw.path) if part))
    return f"{where}: {flaw.reason}" if where else flaw.reason


def _flaw(source: Source, error: dict[str, Any]) -> Flaw:
    path = str(error.get("path", ""))
    return Flaw(source.column_of(path) if path else "", path, str(error.get("message", "")))


def _at_event(error: dict[str, Any], place: int) -> dict[str, Any]:
    path = error["path"].removeprefix(f"events.{place}").removeprefix(".")
    return {**error, "path": path}


def _wave_records(per_second: float | None) -> int:
    """No more than a second's worth at a time, so that a slow replay is slow all the time."""
    return WAVE_RECORDS if per_second is None else max(1, min(WAVE_RECORDS, int(per_second)))
