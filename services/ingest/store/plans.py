"""Versions of the tracking plan, one of which is active."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import asyncpg

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_COLUMNS = "SELECT version, document, note, created_at, created_by, active FROM tracking_plans"
_NEWS = "SELECT version, document FROM tracking_plans WHERE active AND version <> $1"
# Writers are few: they wait for one another, so that versions have no gaps and one is active.
_ALONE = "LOCK TABLE tracking_plans IN SHARE ROW EXCLUSIVE MODE"
_NEXT = "SELECT coalesce(max(version), 0) + 1 FROM tracking_plans"
_INSERT = """
INSERT INTO tracking_plans (version, document, note, created_at, created_by, active)
VALUES ($1, $2, $3, $4, $5, true)
"""
_PASSIVE = "UPDATE tracking_plans SET active = false WHERE active"
_ACTIVE = "UPDATE tracking_plans SET active = true WHERE version = $1"


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One version as it is stored."""

    version: int
    document: dict[str, Any]
    note: str | None
    created_at: datetime
    created_by: str
    active: bool


async def news(driver: Driver, known: int) -> tuple[int, dict[str, Any]] | None:
    """The active version and its document when it is not the known one (0: none), else None."""
    row = await driver.fetchrow(_NEWS, known)
    return (row["version"], json.loads(row["document"])) if row is not None else None


async def active(driver: Driver) -> PlanRow | None:
    """The active version, or None."""
    return _row(await driver.fetchrow(f"{_COLUMNS} WHERE active"))


async def find(driver: Driver, version: int) -> PlanRow | None:
    """A version, or None."""
    return _row(await driver.fetchrow(f"{_COLUMNS} WHERE version = $1", version))


async def page(driver: Driver, before: int | None, rows_max: int) -> list[PlanRow]:
    """Versions, the newest first, after a version if one is given."""
    query = f"{_COLUMNS} WHERE $1::int IS NULL OR version < $1 ORDER BY version DESC LIMIT $2"
    rows = [_row(row) for row in await driver.fetch(query, before, rows_max)]
    return [row for row in rows if row is not None]


async def lock(driver: Driver) -> int:
    """Keeps other writers out until the transaction ends; answers the next version."""
    await driver.execute(_ALONE)
    return int(await driver.fetchval(_NEXT))


async def insert(driver: Driver, row: PlanRow) -> None:
    """Stores a new version in the place of the active one; under the lock."""
    await driver.execute(_PASSIVE)
    document = json.dumps(row.document, separators=(",", ":"))
    await driver.execute(_INSERT, row.version, document, row.note, row.created_at, row.created_by)


async def activate(driver: Driver, version: int) -> None:
    """Makes an older version the active one; under the lock."""
    await driver.execute(_PASSIVE)
    await driver.execute(_ACTIVE, version)


def _row(row: Any) -> PlanRow | None:
    if row is None:
        return None
    return PlanRow(**{**dict(row), "document": json.loads(row["document"])})
