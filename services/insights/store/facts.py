"""The SQL of facts: what a batch adds (one statement per table), and what an erasure takes."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import asyncpg

from services.insights.domain.facts import (
    Batch,
    Cancellation,
    Operation,
    Order,
    Refund,
    Tally,
    TallyKey,
    latest_of_endpoints,
)
from services.insights.domain.identity import Erasure
from shared.ids import CustomerId

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_FACTS = """
INSERT INTO facts (customer_id, at, recorded_at, event_id, source, kind, cause, details)
SELECT customer_id, at, recorded_at, event_id, source, kind, cause, details::jsonb
FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::text[], $5::text[], $6::text[],
            $7::text[], $8::text[])
  AS new (customer_id, at, recorded_at, event_id, source, kind, cause, details)
ON CONFLICT DO NOTHING
"""
_DAYS = """
INSERT INTO days (customer_id, day, kind, rule, events, points, active)
SELECT * FROM unnest($1::text[], $2::date[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],
                     $7::boolean[])
ON CONFLICT (customer_id, day, kind, rule) DO UPDATE
SET events = days.events + excluded.events, points = days.points + excluded.points,
    active = days.active OR excluded.active
"""
_CUSTOMERS = """
INSERT INTO customers (customer_id, first_seen_at)
SELECT * FROM unnest($1::text[], $2::timestamptz[])
ON CONFLICT (customer_id) DO UPDATE SET first_seen_at = excluded.first_seen_at
WHERE excluded.first_seen_at < customers.first_seen_at
RETURNING customer_id
"""
_ORDERS = """
INSERT INTO orders (customer_id, order_id, at, event_id, total, currency)
SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::numeric[],
                     $6::text[])
ON CONFLICT (customer_id, order_id) DO UPDATE
SET at = excluded.at, event_id = excluded.event_id, total = excluded.total,
    currency = excluded.currency
WHERE (excluded.at, excluded.event_id) < (orders.at, orders.event_id)
"""
_REFUNDS = """
INSERT INTO refunds (customer_id, order_id, refund_id, at, event_id, amount, currency)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[],
                     $6::numeric[], $7::text[])
ON CONFLICT (customer_id, order_id, refund_id) DO UPDATE
SET at = excluded.at, event_id = excluded.event_id, amount = excluded.amount,
    currency = excluded.currency
WHERE (excluded.at, excluded.event_id) < (refunds.at, refunds.event_id)
"""
_CANCELLATIONS = """
INSERT INTO cancellations (customer_id, order_id, at, event_id)
SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[])
ON CONFLICT (customer_id, order_id) DO UPDATE SET at = excluded.at, event_id = excluded.event_id
WHERE (excluded.at, excluded.event_id) < (cancellations.at, cancellations.event_id)
"""
_STANDINGS = """
INSERT INTO standings (customer_id, at, risk, band, segment, lifecycle, clv_historic,
                       clv_predicted, clv_tier, currency)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::double precision[], $4::text[], $5::text[],
                     $6::text[], $7::numeric[], $8::numeric[], $9::text[], $10::text[])
ON CONFLICT (customer_id) DO UPDATE
SET at = excluded.at, risk = excluded.risk, band = excluded.band, segment = excluded.segment,
    lifecycle = excluded.lifecycle, clv_historic = excluded.clv_historic,
    clv_predicted = excluded.clv_predicted, clv_tier = excluded.clv_tier,
    currency = excluded.currency
WHERE standings.at <= excluded.at
RETURNING customer_id
"""
_TIERS = """
INSERT INTO tiers (customer_id, at, tier)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[])
ON CONFLICT (customer_id) DO UPDATE SET at = excluded.at, tier = excluded.tier
WHERE tiers.at <= excluded.at
RETURNING customer_id
"""
_OPERATIONS = """
INSERT INTO operations (endpoint_id, at, event_id, source, kind)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[])
ON CONFLICT DO NOTHING
"""
_ENDPOINTS = """
INSERT INTO endpoints (endpoint_id, at, kind)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[])
ON CONFLICT (endpoint_id) DO UPDATE SET at = excluded.at, kind = excluded.kind
WHERE endpoints.at <= excluded.at
"""
_GONE = "USING unnest($1::text[], $2::timestamptz[]) AS gone (customer_id, erased_at)"
_DROP = {
    table: f"""
DELETE FROM {table} {_GONE} WHERE {table}.customer_id = gone.customer_id AND at < erased_at
"""  # noqa: S608 — the names are those below
    for table in ("facts", "standings", "tiers")
}
_TAKE = {
    table: f"""
DELETE FROM {table} {_GONE} WHERE {table}.customer_id = gone.customer_id AND {condition}
RETURNING {table}.*
"""  # noqa: S608 — the names are those below
    for table, condition in (
        ("days", "day <= (erased_at AT TIME ZONE 'UTC')::date"),
        ("customers", "first_seen_at < erased_at"),
        ("orders", "at < erased_at"),
        ("refunds", "at < erased_at"),
        ("cancellations", "at < erased_at"),
    )
}
_SWEEP = """
DELETE FROM facts WHERE ctid IN (SELECT ctid FROM facts WHERE recorded_at < $1 LIMIT $2)
"""


async def save(driver: Driver, batch: Batch) -> set[CustomerId]:
    """Adds a batch; answers whose standing among all may have changed by it.

    Rows are written in the order of their keys, so that writers never circle.
    """
    await _write(driver, _FACTS, [_stored(fact) for fact in batch.facts.values()])
    await _write(
        driver,
        _DAYS,
        [(*key, one.events, one.points, one.active) for key, one in batch.tallies.items()],
    )
    await _write(driver, _ORDERS, [(*key, *order) for key, order in batch.orders.items()])
    await _write(driver, _REFUNDS, [(*key, *refund) for key, refund in batch.refunds.items()])
    await _write(driver, _CANCELLATIONS, [(*key, *one) for key, one in batch.cancellations.items()])
    changed = await _write(driver, _CUSTOMERS, list(batch.first_seen.items()))
    changed += await _write(
        driver, _STANDINGS, [(key, *one) for key, one in batch.standings.items()]
    )
    changed += await _write(driver, _TIERS, [(key, *one) for key, one in batch.tiers.items()])
    return {CustomerId(row["customer_id"]) for row in changed}


async def save_operations(driver: Driver, operations: Sequence[Operation]) -> None:
    """Adds what webhooks told, and what it last told of each endpoint."""
    await _write(driver, _OPERATIONS, list(set(operations)))
    latest = latest_of_endpoints(operations)
    await _write(driver, _ENDPOINTS, [(key, one.at, one.kind) for key, one in latest.items()])


def _stored(fact: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*fact[:-1], json.dumps(fact[-1], sort_keys=True))


async def _write(
    driver: Driver, statement: str, rows: Sequence[tuple[Any, ...]]
) -> list[asyncpg.Record]:
    if not rows:
        return []
    ordered = sorted(rows, key=lambda row: tuple(str(part) for part in row[:5]))
    columns = [list(column) for column in zip(*ordered, strict=True)]
    return list(await driver.fetch(statement, *columns))


async def take(driver: Driver, erasures: Sequence[Erasure]) -> Batch:
    """Takes everything of these customers out; returns what has to stay countable."""
    gone = [one.customer for one in erasures], [one.veil.erased_at for one in erasures]
    for statement in _DROP.values():
        await driver.execute(statement, *gone)
    taken = {table: await driver.fetch(statement, *gone) for table, statement in _TAKE.items()}
    return _batch_of(taken)


def _batch_of(taken: Mapping[str, Sequence[asyncpg.Record]]) -> Batch:
    return Batch(
        tallies={
            TallyKey(CustomerId(customer), day, kind, rule): Tally(events, points, active)
            for customer, day, kind, rule, events, points, active in taken["days"]
        },
        first_seen={CustomerId(customer): at for customer, at in taken["customers"]},
        orders={
            (CustomerId(customer), order): Order(*placed)
            for customer, order, *placed in taken["orders"]
        },
        refunds={
            (CustomerId(customer), order, refund): Refund(*paid)
            for customer, order, refund, *paid in taken["refunds"]
        },
        cancellations={
            (CustomerId(customer), order): Cancellation(*called_off)
            for customer, order, *called_off in taken["cancellations"]
        },
    )


async def sweep(driver: Driver, before: datetime, rows_max: int) -> bool:
    """Deletes entries of timelines recorded before; True when there may be more."""
    done = await driver.execute(_SWEEP, before, rows_max)
    return bool(done == f"DELETE {rows_max}")
