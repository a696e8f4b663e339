"""SQL of where customers stand: current assessments, their history, and whose review is due."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg
import orjson

from services.scoring.domain.bands import Position, Positions
from services.scoring.domain.standing import Standing
from services.scoring.store.people import Driver
from shared.ids import CustomerId

_COLUMNS = """customer_id, as_of, next_review_at, churn_risk, churn_band, engagement, health,
  health_band, segment, lifecycle, clv_predicted_12m, clv_tier, positions, model"""
_LOAD = (
    f"SELECT {_COLUMNS} FROM assessments WHERE customer_id = ANY($1::text[]) "  # noqa: S608
    "ORDER BY customer_id"
)
_LOAD_LOCKED = f"{_LOAD} FOR UPDATE"
_DUE = f"""
SELECT {_COLUMNS} FROM assessments WHERE next_review_at <= $1
ORDER BY next_review_at LIMIT $2 FOR UPDATE SKIP LOCKED
"""  # noqa: S608
_AFTER = f"""
SELECT {_COLUMNS} FROM assessments WHERE customer_id > $1 AND model <> $2
ORDER BY customer_id LIMIT $3 FOR UPDATE
"""  # noqa: S608
_SAVE = f"""
INSERT INTO assessments ({_COLUMNS})
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::float8[], $5::text[],
  $6::float8[], $7::float8[], $8::text[], $9::text[], $10::text[], $11::float8[], $12::text[],
  $13::text[], $14::text[])
ON CONFLICT (customer_id) DO UPDATE SET as_of = excluded.as_of,
  next_review_at = excluded.next_review_at, churn_risk = excluded.churn_risk,
  churn_band = excluded.churn_band, engagement = excluded.engagement, health = excluded.health,
  health_band = excluded.health_band, segment = excluded.segment, lifecycle = excluded.lifecycle,
  clv_predicted_12m = excluded.clv_predicted_12m, clv_tier = excluded.clv_tier,
  positions = excluded.positions, model = excluded.model
"""  # noqa: S608
_RECORD = """
INSERT INTO assessment_history (customer_id, as_of, churn_risk, churn_band, engagement, health,
  segment, lifecycle, clv_predicted_12m, clv_tier, model, cause)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::float8[], $4::text[], $5::float8[],
  $6::float8[], $7::text[], $8::text[], $9::float8[], $10::text[], $11::text[], $12::text[])
"""
_HISTORY = """
SELECT serial, as_of, churn_risk, churn_band, engagement, health, segment, lifecycle,
  clv_predicted_12m, clv_tier, model, cause
FROM assessment_history WHERE customer_id = $1 AND serial < $2 ORDER BY serial DESC LIMIT $3
"""
_DROP = "DELETE FROM assessments WHERE customer_id = ANY($1::text[])"
_FORGET = "DELETE FROM assessment_history WHERE customer_id = ANY($1::text[])"


class Current(NamedTuple):
    """Where a customer stands, as of when, by which model, and when silence changes it next."""

    standing: Standing
    as_of: datetime
    next_review_at: datetime | None
    model: str


class Change(NamedTuple):
    """One row of a customer's history: what was published, and what caused it."""

    standing: Standing
    as_of: datetime
    model: str
    cause: str


async def load_current(
    driver: Driver, customers: Collection[CustomerId], *, locked: bool
) -> dict[CustomerId, Current]:
    """Where these customers stand; one never assessed is absent."""
    rows = await driver.fetch(_LOAD_LOCKED if locked else _LOAD, sorted(customers))
    return {row["customer_id"]: current_of(row) for row in rows}


async def lock_due(driver: Driver, now: datetime, limit: int) -> dict[CustomerId, Current]:
    """Customers whose review is due and whom nobody else has in hand, the longest due first."""
    return {row["customer_id"]: current_of(row) for row in await driver.fetch(_DUE, now, limit)}


async def lock_outdated(
    driver: Driver, after: str, model: str, limit: int
) -> dict[CustomerId, Current]:
    """The next customers by id whose assessment is by another model than `model`."""
    rows = await driver.fetch(_AFTER, after, model, limit)
    return {row["customer_id"]: current_of(row) for row in rows}


async def save_current(driver: Driver, currents: Mapping[CustomerId, Current]) -> None:
    """Writes where these customers stand."""
    if not currents:
        return
    ids = sorted(currents)
    rows = [currents[one] for one in ids]
    await driver.execute(
        _SAVE,
        ids,
        [row.as_of for row in rows],
        [row.next_review_at for row in rows],
        [row.standing.risk for row in rows],
        [row.standing.band for row in rows],
        [row.standing.engagement for row in rows],
        [row.standing.health for row in rows],
        [row.standing.health_band for row in rows],
        [row.standing.segment for row in rows],
        [row.standing.lifecycle for row in rows],
        [row.standing.predicted_12m for row in rows],
        [row.standing.tier for row in rows],
        [_pack(row.standing.positions) for row in rows],
        [row.model for row in rows],
    )


async def record(driver: Driver, changes: Sequence[tuple[CustomerId, Change]]) -> None:
    """Appends to the history, in the order given."""
    if not changes:
        return
    rows = [change for _, change in changes]
    await driver.execute(
        _RECORD,
        [customer for customer, _ in changes],
        [row.as_of for row in rows],
        [row.standing.risk for row in rows],
        [row.standing.band for row in rows],
        [row.standing.engagement for row in rows],
        [row.standing.health for row in rows],
        [row.standing.segment for row in rows],
        [row.standing.lifecycle for row in rows],
        [row.standing.predicted_12m for row in rows],
        [row.standing.tier for row in rows],
        [row.model for row in rows],
        [row.cause for row in rows],
    )


async def history(
    driver: Driver, customer: CustomerId, before: int, limit: int
) -> list[asyncpg.Record]:
    """A customer's changes, the latest first, from below a serial number."""
    rows: list[asyncpg.Record] = await driver.fetch(_HISTORY, customer, before, limit)
    return rows


async def drop(driver: Driver, customers: Collection[CustomerId]) -> None:
    """These are no customers of their own any more; their history stays."""
    if customers:
        await driver.execute(_DROP, sorted(customers))


async def erase(driver: Driver, customers: Collection[CustomerId]) -> None:
    """Removes assessments and history."""
    await driver.execute(_DROP, sorted(customers))
    await driver.execute(_FORGET, sorted(customers))


def current_of(row: asyncpg.Record) -> Current:
    """What a row of `assessments` says."""
    return Current(
        Standing(
            band=row["churn_band"],
            health_band=row["health_band"],
            segment=row["segment"],
            lifecycle=row["lifecycle"],
            tier=row["clv_tier"],
            risk=row["churn_risk"],
            engagement=row["engagement"],
            health=row["health"],
            predicted_12m=row["clv_predicted_12m"],
            positions=_unpack(row["positions"]),
        ),
        row["as_of"],
        row["next_review_at"],
        row["model"],
    )


def _pack(positions: Positions) -> str:
    rows = [(name, one.above, one.since) for name, one in sorted(positions.items())]
    return orjson.dumps(rows).decode()


def _unpack(text: str) -> Positions:
    return {name: Position(above, since) for name, above, since in orjson.loads(text)}
