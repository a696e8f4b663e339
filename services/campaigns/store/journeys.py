"""Journeys and their immutable versions, and the customers inside them."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from services.campaigns.domain.definition import Definition
from services.campaigns.domain.gate import Left
from services.campaigns.domain.journey import Enrolment
from services.campaigns.store.rows import Driver, as_json, value_of

_SEED_VERSION = """
INSERT INTO journey_versions (journey, version, definition, created_at)
VALUES ($1, $2, $3::jsonb, $4) ON CONFLICT DO NOTHING
"""
# A newer shipped version goes live by itself; one that an operator made is left alone.
_SEED_JOURNEY = """
INSERT INTO journeys (journey, state, live_version) VALUES ($1, 'live', $2)
ON CONFLICT (journey) DO UPDATE SET live_version = excluded.live_version
WHERE journeys.live_version < excluded.live_version
"""
_LIVE = """
SELECT definition::text FROM journeys JOIN journey_versions
  ON journey_versions.journey = journeys.journey AND version = live_version
WHERE state = 'live' ORDER BY journeys.journey
"""
_VERSIONS = """
SELECT journey, version, definition::text FROM journey_versions
JOIN unnest($1::text[], $2::int[]) AS wanted (journey, version) USING (journey, version)
"""
_LIST = """
SELECT journeys.journey, state, live_version, definition->>'title' AS title,
       (SELECT count(*) FROM enrolments
        WHERE enrolments.journey = journeys.journey AND enrolments.state = 'active') AS inside
FROM journeys JOIN journey_versions
  ON journey_versions.journey = journeys.journey AND version = live_version
WHERE journeys.journey > $1 ORDER BY journeys.journey LIMIT $2
"""
_GET = """
SELECT journeys.journey, state, live_version, definition::text, created_at
FROM journeys JOIN journey_versions
  ON journey_versions.journey = journeys.journey AND version = live_version
WHERE journeys.journey = $1
"""
_VERSIONS_OF = """
SELECT journey, version, definition::text, created_at FROM journey_versions
WHERE journey = $1 AND version < $2 ORDER BY version DESC LIMIT $3
"""

_SAVE = """
INSERT INTO enrolments SELECT * FROM jsonb_populate_recordset(null::enrolments, $1::jsonb)
ON CONFLICT (enrolment_id) DO UPDATE
SET state = excluded.state, step = excluded.step, reason = excluded.reason,
    wake_at = excluded.wake_at, left_at = excluded.left_at
"""
_LEFT = """
SELECT enrolment_id, left_at, reason FROM enrolments
WHERE enrolment_id = ANY($1::text[]) AND state = 'left'
"""
_OF = "SELECT * FROM enrolments WHERE customer_id = ANY($1::text[])"
_ACTIVE_OF = f"{_OF} AND state = 'active' ORDER BY entered_at, enrolment_id"
_PAST_OF = f"{_OF} AND journey = ANY($2::text[]) ORDER BY entered_at, enrolment_id"
_DUE = """
SELECT customer_id FROM enrolments WHERE state = 'active' AND wake_at <= $1
ORDER BY wake_at, enrolment_id LIMIT $2
"""
_DUE_OF = f"{_OF} AND state = 'active' AND wake_at <= $2 ORDER BY wake_at, enrolment_id"


@lru_cache(maxsize=1_024)
def definition_of(document: str) -> Definition:
    """A stored definition; versions never change, so each is read once."""
    return Definition.model_validate_json(document)


async def seed(driver: Driver, shipped: Definition, now: datetime) -> None:
    """Makes a shipped version known, and live if it is the newest. Repeating changes nothing."""
    document = shipped.model_dump_json()
    await driver.execute(_SEED_VERSION, shipped.journey, shipped.version, document, now)
    await driver.execute(_SEED_JOURNEY, shipped.journey, shipped.version)


async def live(driver: Driver) -> list[Definition]:
    """The versions that customers enter now, by the journeys' names."""
    return [definition_of(row["definition"]) for row in await driver.fetch(_LIVE)]


async def versions(
    driver: Driver, wanted: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], Definition]:
    """These versions, live or not."""
    keys = sorted(set(wanted))
    rows = await driver.fetch(_VERSIONS, [name for name, _ in keys], [one for _, one in keys])
    return {(row["journey"], row["version"]): definition_of(row["definition"]) for row in rows}


async def listed(driver: Driver, after: str, limit: int) -> list[Any]:
    """Rows of the list of journeys, by name."""
    return list(await driver.fetch(_LIST, after, limit))


async def get(driver: Driver, journey: str) -> Any | None:
    return await driver.fetchrow(_GET, journey)


async def versions_of(driver: Driver, journey: str, before: int, limit: int) -> list[Any]:
    """Rows of a journey's versions, the newest first."""
    return list(await driver.fetch(_VERSIONS_OF, journey, before, limit))


async def save(driver: Driver, enrolments: Collection[Enrolment]) -> None:
    """Inserts new enrolments and moves known ones."""
    if enrolments:
        await driver.execute(_SAVE, as_json(list(enrolments)))


async def active_of(driver: Driver, ids: Collection[str]) -> list[Enrolment]:
    return _enrolments(await driver.fetch(_ACTIVE_OF, list(ids)))


async def past_of(driver: Driver, ids: Collection[str], names: Collection[str]) -> list[Enrolment]:
    """All enrolments, over or not, of these ids in these journeys."""
    return _enrolments(await driver.fetch(_PAST_OF, list(ids), list(names)))


async def left(driver: Driver, enrolments: Collection[str]) -> dict[str, Left]:
    """Those of these enrolments that ended early, and when."""
    rows = await driver.fetch(_LEFT, list(enrolments))
    return {row["enrolment_id"]: Left(row["left_at"], row["reason"]) for row in rows}


async def due_customers(driver: Driver, now: datetime, limit: int) -> list[str]:
    """Customers for whom a delay is over, the longest waiting first."""
    return [row["customer_id"] for row in await driver.fetch(_DUE, now, limit)]


async def due_of(driver: Driver, ids: Collection[str], now: datetime) -> list[Enrolment]:
    """Their enrolments whose delay is over."""
    return _enrolments(await driver.fetch(_DUE_OF, list(ids), now))


def _enrolments(rows: Sequence[Any]) -> list[Enrolment]:
    return [value_of(Enrolment, row) for row in rows]
