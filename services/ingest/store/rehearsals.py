"""What test keys posted, each with its verdict: so many a key, the oldest go first."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import asyncpg

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# Requests of one key would delete each other's rows in any order.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
_KEEP = """
INSERT INTO rehearsals (key_id, good, event_index, event_id, event_type, errors, body, received_at)
SELECT $1, one.good, one.place, one.id, one.type, one.errors, one.body, $8
FROM unnest($2::boolean[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[])
  WITH ORDINALITY AS one (good, place, id, type, errors, body, nth)
ORDER BY one.nth
"""
_CUT = """
DELETE FROM rehearsals WHERE key_id = $1 AND serial <=
  (SELECT serial FROM rehearsals WHERE key_id = $1 ORDER BY serial DESC OFFSET $2 LIMIT 1)
"""
_PAGE = """
SELECT serial, good, event_index, event_id, event_type, errors, body, received_at FROM rehearsals
WHERE key_id = $1 AND serial > $2 AND ($3::boolean IS NULL OR good = $3)
ORDER BY serial LIMIT $4
"""
_COUNT = """
SELECT count(*) FILTER (WHERE good) AS good, count(*) FILTER (WHERE NOT good) AS bad
FROM rehearsals WHERE key_id = $1
"""
_RESET = "DELETE FROM rehearsals WHERE key_id = $1"
_FORGET = """
DELETE FROM rehearsals WHERE (key_id, serial) IN
  (SELECT key_id, serial FROM rehearsals WHERE received_at < $1 ORDER BY received_at LIMIT $2)
"""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One event of a test. `errors` are {"path", "message"}, none of a good one; `body` is JSON
    text: as it would have gone on, or, of a bad one, as it was sent, perhaps cut."""

    serial: int
    good: bool
    event_index: int
    event_id: str | None
    event_type: str | None
    errors: Sequence[dict[str, str]]
    body: str
    received_at: datetime


async def keep(
    driver: Driver,
    key_id: str,
    rehearsals: Sequence[Rehearsal],
    received_at: datetime,
    rows_max: int,
) -> None:
    """Adds them in their order (serials are given here), and lets go of all but the last
    `rows_max` of the key."""
    await driver.execute(_LOCK, f"rehearsals {key_id}")
    await driver.execute(
        _KEEP,
        key_id,
        [one.good for one in rehearsals],
        [one.event_index for one in rehearsals],
        [one.event_id for one in rehearsals],
        [one.event_type for one in rehearsals],
        [json.dumps(list(one.errors)) for one in rehearsals],
        [one.body for one in rehearsals],
        received_at,
    )
    await driver.execute(_CUT, key_id, rows_max)


async def page(
    driver: Driver, key_id: str, *, good: bool | None, after: int, rows_max: int
) -> list[Rehearsal]:
    """The oldest first, behind a serial; of one verdict or both."""
    rows = await driver.fetch(_PAGE, key_id, after, good, rows_max)
    return [Rehearsal(**{**dict(row), "errors": json.loads(row["errors"])}) for row in rows]


async def count(driver: Driver, key_id: str) -> tuple[int, int]:
    """How many good and how many bad ones a key has."""
    row = await driver.fetchrow(_COUNT, key_id)
    assert row is not None, "an aggregate has a row"
    return row["good"], row["bad"]


async def reset(driver: Driver, key_id: str) -> None:
    await driver.execute(_RESET, key_id)


async def forget(driver: Driver, before: datetime, rows_max: int) -> bool:
    """Deletes some of what is older than `before`; True when there may be more."""
    done = await driver.execute(_FORGET, before, rows_max)
    return bool(done == f"DELETE {rows_max}")
