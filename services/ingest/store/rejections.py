"""Refused events, as they were sent and as they were corrected, for as long as the retention."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias

import asyncpg

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Status = Literal["open", "replayed"]

_KEEP = """
INSERT INTO rejections
  (id, source, event_index, event_id, event_type, reason, errors, body, rejected_at, default_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::text[], $6::text[],
                     $7::text[], $8::text[], $9::timestamptz[], $10::timestamptz[])
ON CONFLICT DO NOTHING
"""
_COLUMNS = """
SELECT id, source, event_index, event_id, event_type, reason, errors, rejected_at, default_at,
  corrected_at, replay_id, replayed_at
"""
WITH_BODIES = f"{_COLUMNS}, body, corrected FROM rejections"
_WITHOUT_BODIES = f"{_COLUMNS}, NULL AS body, NULL AS corrected FROM rejections"
CHOSEN = """
WHERE ($1::text IS NULL OR reason = $1) AND ($2::text IS NULL OR source = $2)
  AND ($3::timestamptz IS NULL OR rejected_at >= $3)
  AND ($4::timestamptz IS NULL OR rejected_at < $4)
  AND ($5::text IS NULL OR (replayed_at IS NULL) = ($5 = 'open'))
"""
_PAGE = """
  AND ($6::timestamptz IS NULL OR (rejected_at, id) < ($6, $7))
ORDER BY rejected_at DESC, id DESC LIMIT $8
"""
_COUNT = """
SELECT reason, count(*) - count(replayed_at) AS open, count(replayed_at) AS replayed FROM rejections
"""
_CORRECT = """
UPDATE rejections SET corrected = $2, corrected_at = $3, corrected_by = $4, leased_until = NULL
WHERE id = $1 AND replayed_at IS NULL AND (leased_until IS NULL OR leased_until <= $3)
"""
_FORGET = """
DELETE FROM rejections WHERE id IN
  (SELECT id FROM rejections WHERE rejected_at < $1 ORDER BY rejected_at LIMIT $2)
"""


@dataclass(frozen=True, slots=True)
class Rejection:
    """One refused event. `errors` are {"path", "message"}; `body` is JSON text, perhaps cut, or
    None when it was not asked for, and `corrected` what an operator put in its place. `default_at`
    is when it happened if it says nothing of it; `replay_id` its id once a replay began."""

    id: str
    source: str
    event_index: int
    event_id: str | None
    event_type: str | None
    reason: str
    errors: Sequence[dict[str, str]]
    body: str | None
    rejected_at: datetime
    default_at: datetime | None = None
    corrected: str | None = None
    corrected_at: datetime | None = None
    replay_id: str | None = None
    replayed_at: datetime | None = None


class Chosen(NamedTuple):
    """Which rejections: all that are not excluded by a value here. `since` is the first instant,
    `until` the first one after."""

    reason: str | None = None
    source: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    status: Status | None = None


EVERY = Chosen()


class Count(NamedTuple):
    """How many events were refused for a reason, by what became of them."""

    reason: str
    open: int
    replayed: int


async def keep(driver: Driver, rejections: Sequence[Rejection]) -> None:
    """Stores them; one that is there already stays."""
    await driver.execute(
        _KEEP,
        [one.id for one in rejections],
        [one.source for one in rejections],
        [one.event_index for one in rejections],
        [one.event_id for one in rejections],
        [one.event_type for one in rejections],
        [one.reason for one in rejections],
        [json.dumps(list(one.errors)) for one in rejections],
        [one.body for one in rejections],
        [one.rejected_at for one in rejections],
        [one.default_at for one in rejections],
    )


async def page(
    driver: Driver,
    chosen: Chosen,
    *,
    before: tuple[datetime, str] | None,
    rows_max: int,
    bodies: bool,
) -> list[Rejection]:
    """The newest first, after a position if one is given; with what was sent or without."""
    at, rejection_id = before if before is not None else (None, None)
    query = f"{WITH_BODIES if bodies else _WITHOUT_BODIES}{CHOSEN}{_PAGE}"
    return [
        rejection_of(row) for row in await driver.fetch(query, *chosen, at, rejection_id, rows_max)
    ]


async def find(driver: Driver, rejection_id: str, *, bodies: bool) -> Rejection | None:
    """One of them, or None."""
    query = f"{WITH_BODIES if bodies else _WITHOUT_BODIES} WHERE id = $1"
    row = await driver.fetchrow(query, rejection_id)
    return rejection_of(row) if row is not None else None


async def counts(driver: Driver, chosen: Chosen) -> list[Count]:
    """How many by reason."""
    query = f"{_COUNT}{CHOSEN} GROUP BY reason ORDER BY reason"
    return [Count(**dict(row)) for row in await driver.fetch(query, *chosen)]


async def correct(driver: Driver, rejection_id: str, text: str, *, by: str, now: datetime) -> bool:
    """Puts a corrected event in its place; False when a replay has it in hand or has ended."""
    return bool(await driver.execute(_CORRECT, rejection_id, text, now, by) == "UPDATE 1")


async def forget(driver: Driver, before: datetime, rows_max: int) -> bool:
    """Deletes some of what is older than `before`; True when there may be more."""
    done = await driver.execute(_FORGET, before, rows_max)
    return bool(done == f"DELETE {rows_max}")


def rejection_of(row: Any) -> Rejection:
    """A row with the columns above."""
    return Rejection(**{**dict(row), "errors": json.loads(row["errors"])})
