"""The SQL of timelines: one range of the index per id of the person, however long the history."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

import asyncpg

from services.insights.domain.details import Details
from shared.ids import CustomerId

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

PERSON = """
SELECT root.id, array(
  SELECT absorbed_id FROM merges WHERE root_id = root.id AND absorbed_id <> root.id
  ORDER BY absorbed_id
)
FROM (SELECT coalesce((SELECT root_id FROM merges WHERE absorbed_id = $1), $1)) AS root (id)
"""
KNOWN = "SELECT EXISTS (SELECT FROM customers WHERE customer_id = ANY($1::text[]))"
PAGE = """
SELECT page.* FROM unnest($1::text[]) AS person (id) CROSS JOIN LATERAL (
  SELECT at, recorded_at, event_id, source, kind, cause, details, customer_id FROM facts
  WHERE customer_id = person.id
    AND (at, recorded_at, event_id, source) < ($2::timestamptz, $3::timestamptz, $4::text, $5::text)
    AND ($6::text[] IS NULL OR kind = ANY($6::text[]))
  ORDER BY at DESC, recorded_at DESC, event_id DESC, source DESC LIMIT $7
) AS page
ORDER BY at DESC, recorded_at DESC, event_id DESC, source DESC LIMIT $7
"""

Position = tuple[datetime, datetime, str, str]
_END_OF_TIME = datetime.max.replace(tzinfo=UTC)
_LATEST: Position = (_END_OF_TIME, _END_OF_TIME, "", "")


@dataclass(frozen=True, slots=True)
class Person:
    """The id that stands for somebody, and all ids that are theirs."""

    customer: CustomerId
    ids: tuple[CustomerId, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a timeline; `customer` is the id that the event named."""

    position: Position
    kind: str
    cause: str | None
    details: Details
    customer: CustomerId


async def person_of(driver: Driver, customer: CustomerId) -> Person:
    """Follows merges from any of a person's ids."""
    row = await driver.fetchrow(PERSON, customer)
    assert row is not None, "a scalar subquery always gives a row"
    return Person(row[0], (row[0], *row[1]))


async def is_known(driver: Driver, person: Person) -> bool:
    """Whether anything was ever heard of this person."""
    return bool(await driver.fetchval(KNOWN, person.ids))


async def page(
    driver: Driver,
    person: Person,
    *,
    before: Position | None,
    kinds: Sequence[str] | None,
    limit: int,
) -> list[Entry]:
    """Entries older than `before`, the newest first."""
    rows = await driver.fetch(PAGE, person.ids, *(before or _LATEST), kinds, limit)
    return [
        Entry(
            (row["at"], row["recorded_at"], row["event_id"], row["source"]),
            row["kind"],
            row["cause"],
            row["details"],
            row["customer_id"],
        )
        for row in rows
    ]
