"""The SQL of the overview: sums over people, each of them all the ids that were merged.

Every statement maps the id of a fact to its person by `merges` and takes the segment from the
person's current standing; `$1` and `$2` bound the period, `$3` is the segment or null.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

import asyncpg

from services.insights.domain.period import Period

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_SEGMENT = """
LEFT JOIN standings AS standing ON standing.customer_id = person
WHERE ($3::text IS NULL OR standing.segment = $3)
"""
_CANCELLED = """
SELECT DISTINCT coalesce(root_id, customer_id) AS person, order_id
FROM cancellations LEFT JOIN merges ON absorbed_id = customer_id
"""
CUSTOMERS = f"""
WITH people AS (
  SELECT coalesce(root_id, customer_id) AS person, min(first_seen_at) AS first_seen_at
  FROM customers LEFT JOIN merges ON absorbed_id = customer_id
  WHERE first_seen_at < $2::timestamptz GROUP BY 1
)
SELECT count(*) AS known, count(*) FILTER (WHERE first_seen_at >= $1::timestamptz) AS fresh
FROM people {_SEGMENT}
"""  # noqa: S608 — made of constants, like all below
ACTIVE = f"""
WITH people AS (
  SELECT DISTINCT coalesce(root_id, customer_id) AS person
  FROM days LEFT JOIN merges ON absorbed_id = customer_id
  WHERE day >= $1::date AND day < $2::date AND active
)
SELECT count(*) FROM people {_SEGMENT}
"""  # noqa: S608
TALLIES = f"""
WITH tallied AS (
  SELECT coalesce(root_id, customer_id) AS person, kind, rule, events, points
  FROM days LEFT JOIN merges ON absorbed_id = customer_id
  WHERE day >= $1::date AND day < $2::date
    AND (kind LIKE 'intervention.%' OR kind LIKE 'points.%')
)
SELECT kind, rule, sum(events)::bigint AS events, sum(points)::bigint AS points
FROM tallied {_SEGMENT} GROUP BY kind, rule ORDER BY kind, rule
"""  # noqa: S608
_PLACED = f"""
WITH cancelled AS ({_CANCELLED}), placed AS (
  SELECT DISTINCT ON (person, order_id) coalesce(root_id, customer_id) AS person, order_id, total,
    currency
  FROM orders LEFT JOIN merges ON absorbed_id = customer_id
  WHERE at >= $1::timestamptz AND at < $2::timestamptz
  ORDER BY person, order_id, at, event_id
), counted AS (
  SELECT person, total, placed.currency FROM placed {_SEGMENT}
    AND NOT EXISTS (
      SELECT FROM cancelled
      WHERE cancelled.person = placed.person AND cancelled.order_id = placed.order_id
    )
)
"""  # noqa: S608
ORDERS = f"""{_PLACED}
SELECT currency, count(*) AS orders, sum(total) AS total FROM counted GROUP BY currency
"""  # noqa: S608
BUYERS = f"""{_PLACED}
SELECT count(*) AS buyers, count(*) FILTER (WHERE orders > 1) AS repeating
FROM (SELECT count(*) AS orders FROM counted GROUP BY person) AS bought
"""  # noqa: S608
REFUNDS = f"""
WITH cancelled AS ({_CANCELLED}), paid AS (
  SELECT DISTINCT ON (person, order_id, refund_id) coalesce(root_id, customer_id) AS person,
    order_id, refund_id, amount, currency AS paid_in
  FROM refunds LEFT JOIN merges ON absorbed_id = customer_id
  WHERE at >= $1::timestamptz AND at < $2::timestamptz
  ORDER BY person, order_id, refund_id, at, event_id
)
SELECT paid_in AS currency, sum(amount) AS refunded FROM paid {_SEGMENT}
  AND NOT EXISTS (
    SELECT FROM cancelled
    WHERE cancelled.person = paid.person AND cancelled.order_id = paid.order_id
  )
GROUP BY paid_in
"""  # noqa: S608
# What is so now, of those who stand for themselves: no period, so only the segment is a parameter.
STANDINGS = """
SELECT band, segment, lifecycle, currency, count(*) AS customers, sum(risk) AS risk,
  sum(clv_historic) AS clv_historic, sum(clv_predicted) AS clv_predicted
FROM standings LEFT JOIN merges ON absorbed_id = customer_id
WHERE (root_id IS NULL OR root_id = customer_id) AND ($1::text IS NULL OR segment = $1)
GROUP BY band, segment, lifecycle, currency ORDER BY band, segment, lifecycle, currency
"""
TIERS = """
SELECT tier, count(*) AS members
FROM tiers LEFT JOIN merges ON absorbed_id = tiers.customer_id
LEFT JOIN standings ON standings.customer_id = tiers.customer_id
WHERE (root_id IS NULL OR root_id = tiers.customer_id) AND ($1::text IS NULL OR segment = $1)
GROUP BY tier ORDER BY tier
"""
OPERATIONS = """
SELECT kind, count(*) AS events FROM operations
WHERE at >= $1::timestamptz AND at < $2::timestamptz GROUP BY kind
"""
ENDPOINTS = """
SELECT kind, count(*) AS endpoints FROM (
  SELECT DISTINCT ON (endpoint_id) endpoint_id, kind FROM operations
  ORDER BY endpoint_id, at DESC, event_id DESC
) AS latest GROUP BY kind
"""


@dataclass(frozen=True, slots=True)
class Sales:
    """Orders and money of one currency."""

    currency: str
    orders: int
    total: Decimal
    refunded: Decimal


@dataclass(frozen=True, slots=True)
class Standing:
    """Assessed customers who share band, segment, lifecycle and currency; `risk` is a sum."""

    band: str
    segment: str
    lifecycle: str
    currency: str
    customers: int
    risk: float
    clv_historic: Decimal
    clv_predicted: Decimal


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything counted; ratios are made of it elsewhere."""

    known: int
    fresh: int
    active: int
    sales: Sequence[Sales]
    buyers: int
    repeating: int
    # Each has its kind, its rule, how many events and how many points.
    tallies: Sequence[tuple[str, str, int, int]]
    standings: Sequence[Standing]
    tiers: dict[str, int]
    operations: dict[str, int]
    endpoints: dict[str, int]


async def overview(driver: Driver, period: Period, segment: str | None) -> Overview:
    """All sums as of one instant of the database."""
    days = period.first, period.end, segment
    instants = period.starts_at, period.ends_at, segment
    async with driver.transaction(isolation="repeatable_read", readonly=True):
        people = await driver.fetchrow(CUSTOMERS, *instants)
        bought = await driver.fetchrow(BUYERS, *instants)
        return Overview(
            **_counts(people, known="known", fresh="fresh"),
            active=await driver.fetchval(ACTIVE, *days),
            sales=_sales(
                await driver.fetch(ORDERS, *instants), await driver.fetch(REFUNDS, *instants)
            ),
            **_counts(bought, buyers="buyers", repeating="repeating"),
            tallies=[tuple(row) for row in await driver.fetch(TALLIES, *days)],
            standings=[Standing(*row) for row in await driver.fetch(STANDINGS, segment)],
            tiers=dict(await driver.fetch(TIERS, segment)),
            operations=dict(await driver.fetch(OPERATIONS, *instants[:2])),
            endpoints=dict(await driver.fetch(ENDPOINTS)),
        )


def _counts(row: Any, **columns: str) -> dict[str, int]:
    return {name: row[column] for name, column in columns.items()}


def _sales(orders: Sequence[Any], refunds: Sequence[Any]) -> list[Sales]:
    """One row per currency in which anything was paid or paid back."""
    placed = {row["currency"]: (row["orders"], row["total"]) for row in orders}
    refunded = {row["currency"]: row["refunded"] for row in refunds}
    return [
        Sales(
            currency,
            *placed.get(currency, (0, Decimal(0))),
            refunded.get(currency, Decimal(0)),
        )
        for currency in sorted({*placed, *refunded})
    ]
