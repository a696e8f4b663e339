"""Whose turn it is to replay a refused event, and that it was done.

A lease is taken in a short transaction, the event is published with none open, and the end is
entered in another one. Its end is also its token: who lost it can no longer enter anything.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from services.ingest.store.rejections import (
    CHOSEN,
    WITH_BODIES,
    Chosen,
    Driver,
    Rejection,
    rejection_of,
)

_FREE = "replayed_at IS NULL AND (leased_until IS NULL OR leased_until <= {now})"
_BY_ID = f"{WITH_BODIES} WHERE id = ANY($1::text[]) AND {_FREE.format(now='$2')}"
_LOCK = f"{_BY_ID} ORDER BY rejected_at, id FOR NO KEY UPDATE SKIP LOCKED"
_BY_CHOICE = f"""
{WITH_BODIES} {CHOSEN} AND {_FREE.format(now="$6")}
  AND ($7::timestamptz IS NULL OR (rejected_at, id) > ($7, $8)) ORDER BY rejected_at, id LIMIT $9
"""
# Sizes are known without reading the texts. The first is there however large it is.
_BOUNDED = """
SELECT * FROM (
  SELECT *, count(*) OVER () AS every, sum(size) OVER (ORDER BY rejected_at, id) - size AS before
  FROM (
    SELECT *, octet_length(body) + coalesce(octet_length(corrected), 0) AS size
    FROM ({rows}) AS one
  ) AS sized
) AS bounded WHERE before < {bytes_max} ORDER BY rejected_at, id
"""
_FIND = _BOUNDED.format(rows=_BY_ID, bytes_max="$3")
_CHOOSE = _BOUNDED.format(rows=_BY_CHOICE, bytes_max="$10")
_BESIDE = frozenset({"every", "size", "before"})
_STATES = "SELECT id, replayed_at IS NOT NULL, replay_id FROM rejections WHERE id = ANY($1::text[])"
_LEASE = """
UPDATE rejections SET leased_until = $3, replay_id = given.replay_id
FROM unnest($1::text[], $2::text[]) AS given (id, replay_id) WHERE rejections.id = given.id
"""
_DONE = """
UPDATE rejections SET replayed_at = $3, replayed_by = $4, leased_until = NULL
WHERE id = ANY($1::text[]) AND leased_until = $2 AND replayed_at IS NULL
"""
_RELEASE = (
    "UPDATE rejections SET leased_until = NULL WHERE id = ANY($1::text[]) AND leased_until = $2"
)


class State(NamedTuple):
    """What became of a rejection; `replay_id` is its event's id once a replay began."""

    replayed: bool
    replay_id: str | None


class Found(NamedTuple):
    """Rejections to be replayed, oldest first. `left_out` tells that bytes ended them early."""

    rejections: list[Rejection]
    left_out: bool


async def find(driver: Driver, ids: Sequence[str], now: datetime, bytes_max: int) -> Found:
    """Of these the ones to be replayed, without what others have in hand."""
    return _found(await driver.fetch(_FIND, ids, now, bytes_max))


async def choose(
    driver: Driver,
    chosen: Chosen,
    now: datetime,
    *,
    after: tuple[datetime, str] | None,
    rows_max: int,
    bytes_max: int,
) -> Found:
    """The oldest of a choice that are to be replayed, after a position if one is given."""
    at, rejection_id = after if after is not None else (None, None)
    return _found(await driver.fetch(_CHOOSE, *chosen, now, at, rejection_id, rows_max, bytes_max))


def _found(rows: Sequence[Any]) -> Found:
    rejections = [
        rejection_of({name: value for name, value in row.items() if name not in _BESIDE})
        for row in rows
    ]
    return Found(rejections, bool(rows) and rows[0]["every"] > len(rows))


async def lock(driver: Driver, ids: Sequence[str], now: datetime) -> list[Rejection]:
    """Of these the ones to be replayed, locked, oldest first; without what others have in hand."""
    return [rejection_of(row) for row in await driver.fetch(_LOCK, ids, now)]


async def states(driver: Driver, ids: Sequence[str]) -> dict[str, State]:
    """What became of these; one that is not there is absent."""
    return {row[0]: State(row[1], row[2]) for row in await driver.fetch(_STATES, ids)}


async def lease(driver: Driver, replay_ids: Mapping[str, str], until: datetime) -> None:
    """Takes locked ones in hand until then, and fixes their events' ids for ever."""
    await driver.execute(_LEASE, list(replay_ids), list(replay_ids.values()), until)


async def done(
    driver: Driver, ids: Sequence[str], leased_until: datetime, *, by: str, now: datetime
) -> None:
    """Enters that they were replayed, as far as they are still in hand."""
    await driver.execute(_DONE, ids, leased_until, now, by)


async def release(driver: Driver, ids: Sequence[str], leased_until: datetime) -> None:
    """Lets them go without having replayed them."""
    await driver.execute(_RELEASE, ids, leased_until)
