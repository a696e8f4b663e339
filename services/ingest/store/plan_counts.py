"""What violated the tracking plan, and what events look like: counts, in bounded tables."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import asyncpg

from services.ingest.domain.observed import Look
from services.ingest.domain.violations import Violation

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# Beyond the bound known rows count on, and new ones are left out.
_COUNT = """
INSERT INTO plan_violations AS kept
  (event_type, field, rule, warned, rejected, event_ids, rejection_ids, first_seen_at, last_seen_at)
SELECT given.event_type, given.field, given.rule, given.warned, given.rejected,
  ARRAY(SELECT json_array_elements_text(given.event_ids::json)),
  ARRAY(SELECT json_array_elements_text(given.rejection_ids::json)), $8, $8
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::text[])
  AS given (event_type, field, rule, warned, rejected, event_ids, rejection_ids)
WHERE (SELECT count(*) FROM plan_violations) < $9 OR EXISTS (
  SELECT FROM plan_violations p WHERE p.event_type = given.event_type AND p.field = given.field
    AND p.rule = given.rule)
ON CONFLICT (event_type, field, rule) DO UPDATE SET
  warned = kept.warned + excluded.warned, rejected = kept.rejected + excluded.rejected,
  event_ids = (excluded.event_ids || kept.event_ids)[1:$10],
  rejection_ids = (excluded.rejection_ids || kept.rejection_ids)[1:$10],
  last_seen_at = greatest(kept.last_seen_at, excluded.last_seen_at)
"""
_PAGE = """
SELECT event_type, field, rule, warned, rejected, event_ids, rejection_ids, first_seen_at,
  last_seen_at
FROM plan_violations
WHERE ($1::text IS NULL OR event_type = $1)
  AND ($2::text IS NULL OR (event_type, field, rule) > ($2, $3, $4))
ORDER BY event_type, field, rule LIMIT $5
"""
_OBSERVE = """
INSERT INTO plan_observed AS kept (event_type, field, kind, seen, last_seen_at)
SELECT given.event_type, given.field, given.kind, given.seen, $5
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
  AS given (event_type, field, kind, seen)
WHERE (SELECT count(*) FROM plan_observed) < $6 OR EXISTS (
  SELECT FROM plan_observed p WHERE p.event_type = given.event_type AND p.field = given.field
    AND p.kind = given.kind)
ON CONFLICT (event_type, field, kind) DO UPDATE SET
  seen = kept.seen + excluded.seen,
  last_seen_at = greatest(kept.last_seen_at, excluded.last_seen_at)
"""
_OBSERVED = """
SELECT event_type, field, kind, seen FROM plan_observed
WHERE $1::text IS NULL OR event_type = $1 ORDER BY event_type, field, kind
"""
_FORGET_VIOLATIONS = "DELETE FROM plan_violations WHERE last_seen_at < $1"
_FORGET_OBSERVED = "DELETE FROM plan_observed WHERE last_seen_at < $1"


@dataclass(frozen=True, slots=True)
class ViolationRow:
    """A violation as it is stored."""

    event_type: str
    field: str
    rule: str
    warned: int
    rejected: int
    event_ids: list[str]
    rejection_ids: list[str]
    first_seen_at: datetime
    last_seen_at: datetime


async def count(
    driver: Driver,
    violations: Sequence[Violation],
    *,
    at: datetime,
    rows_max: int,
    examples_max: int,
) -> None:
    """Adds to what was counted."""
    await driver.execute(
        _COUNT,
        [one.event_type for one in violations],
        [one.field for one in violations],
        [one.rule for one in violations],
        [one.warned for one in violations],
        [one.rejected for one in violations],
        [json.dumps(one.event_ids) for one in violations],
        [json.dumps(one.rejection_ids) for one in violations],
        at,
        rows_max,
        examples_max,
    )


async def page(
    driver: Driver,
    event_type: str | None,
    *,
    after: tuple[str, str, str] | None,
    rows_max: int,
) -> list[ViolationRow]:
    """Violations in the order of their names, after a position if one is given."""
    position = after if after is not None else (None, None, None)
    rows = await driver.fetch(_PAGE, event_type, *position, rows_max)
    return [ViolationRow(**dict(row)) for row in rows]


async def observe(driver: Driver, seen: Mapping[Look, int], *, at: datetime, rows_max: int) -> None:
    """Adds to what events look like; in the order of names, so that replicas never deadlock."""
    looks = sorted(seen)
    await driver.execute(
        _OBSERVE,
        [look.event_type for look in looks],
        [look.field for look in looks],
        [look.kind for look in looks],
        [seen[look] for look in looks],
        at,
        rows_max,
    )


async def observed(driver: Driver, event_type: str | None) -> dict[Look, int]:
    """What events look like, of one type or all."""
    rows = await driver.fetch(_OBSERVED, event_type)
    return {Look(row["event_type"], row["field"], row["kind"]): row["seen"] for row in rows}


async def forget(driver: Driver, before: datetime) -> None:
    """Deletes what was not seen since."""
    await driver.execute(_FORGET_VIOLATIONS, before)
    await driver.execute(_FORGET_OBSERVED, before)
