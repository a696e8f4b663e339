"""What test keys posted, each with its verdict: so many a key, the oldest go first."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

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
# The newest always stays, however large it is.
_CUT = """
DELETE FROM rehearsals WHERE key_id = $1 AND serial <= (
  SELECT serial FROM (
    SELECT serial, row_number() OVER newest AS nth,
      sum(octet_length(body) + octet_length(errors)) OVER newest AS bytes
    FROM rehearsals WHERE key_id = $1 WINDOW newest AS (ORDER BY serial DESC)
  ) AS kept WHERE nth > $2 OR (bytes > $3 AND nth > 1) ORDER BY serial DESC LIMIT 1)
"""
# One row more than asked for tells that there is more, if the bytes did not end the page before.
_PAGE = """
SELECT serial, good, event_index, event_id, event_type, errors, body, received_at, last FROM (
  SELECT *, row_number() OVER oldest AS nth, sum(size) OVER oldest - size AS bytes_before,
    max(serial) OVER () AS last
  FROM (
    SELECT *, octet_length(body) + octet_length(errors) AS size FROM rehearsals
    WHERE key_id = $1 AND serial > $2 AND ($3::boolean IS NULL OR good = $3)
    ORDER BY serial LIMIT $4 + 1
  ) AS one WINDOW oldest AS (ORDER BY serial)
) AS bounded WHERE nth <= $4 AND bytes_before < $5 ORDER BY serial
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
    text, perhaps cut: as it would have gone on, or, of a bad one, as it was sent."""

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
    *,
    rows_max: int,
    bytes_max: int,
) -> None:
    """Adds them in their order (serials are given here), and lets go of all but the last
    `rows_max` and `bytes_max` of the key."""
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
    await driver.execute(_CUT, key_id, rows_max, bytes_max)


async def page(
    driver: Driver, key_id: str, *, good: bool | None, after: int, rows_max: int, bytes_max: int
) -> tuple[list[Rehearsal], bool]:
    """The oldest first, behind a serial; of one verdict or both. The first is there however large
    it is. And whether there are more."""
    rows = await driver.fetch(_PAGE, key_id, after, good, rows_max, bytes_max)
    return [_rehearsal(row) for row in rows], bool(rows and rows[-1]["last"] > rows[-1]["serial"])


def _rehearsal(row: Any) -> Rehearsal:
    values = {name: value for name, value in row.items() if name != "last"}
    return Rehearsal(**{**values, "errors": json.loads(row["errors"])})


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
