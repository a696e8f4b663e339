"""The SQL of the overview: sums over people, each of them all the ids that were merged.

What is so now comes from sums that are kept (`people`), so that it costs the same for however many
customers; what happened in a period from the rows of that period. These map the id of a fact to its
person by `merges` and take the segment from the person's current standing; `$1` and `$2` bound the
period, `$3` is the segment or null.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, TypeAlias

import asyncpg

from services.insights.domain.people import Group, Standing, arrived, members, of_segment
from services.insights.domain.period import Period
from services.insights.store import people

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_SEGMENT = """
LEFT JOIN standings AS standing ON standing.customer_id = person
WHERE ($3::text IS NULL OR standing.segment = $3)
"""
# Enough for a month of a million customers, so that no sort of it goes to disk.
_MEMORY = "SET LOCAL work_mem = '64MB'"
# Whether the person's order was cancelled, perhaps under another of their ids.
_CANCELLED = """
EXISTS (
  SELECT FROM cancellations LEFT JOIN merges ON absorbed_id = customer_id
  WHERE cancellations.order_id = sold.order_id AND coalesce(root_id, customer_id) = sold.person
)
"""
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
# A row per currency, and one without for people: buyers, and those who bought more than once.
ORDERS = f"""
WITH sold AS (
  SELECT DISTINCT ON (person, order_id) coalesce(root_id, customer_id) AS person, order_id, total,
    currency
  FROM orders LEFT JOIN merges ON absorbed_id = customer_id
  WHERE at >= $1::timestamptz AND at < $2::timestamptz
  ORDER BY person, order_id, at, event_id
), bought AS (
  SELECT person, sold.currency, count(*) AS orders, sum(total) AS total
  FROM sold {_SEGMENT} AND NOT {_CANCELLED} GROUP BY person, sold.currency
)
SELECT currency, sum(orders)::bigint AS orders, sum(total) AS total, 0 AS repeating
FROM bought GROUP BY currency
UNION ALL
SELECT null, count(*), 0, count(*) FILTER (WHERE orders > 1)
FROM (SELECT sum(orders) AS orders FROM bought GROUP BY person) AS people
"""  # noqa: S608
REFUNDS = f"""
WITH sold AS (
  SELECT DISTINCT ON (person, order_id, refund_id) coalesce(root_id, customer_id) AS person,
    order_id, refund_id, amount, currency
  FROM refunds LEFT JOIN merges ON absorbed_id = customer_id
  WHERE at >= $1::timestamptz AND at < $2::timestamptz
  ORDER BY person, order_id, refund_id, at, event_id
)
SELECT sold.currency, sum(amount) AS refunded FROM sold {_SEGMENT} AND NOT {_CANCELLED}
GROUP BY sold.currency
"""  # noqa: S608
OPERATIONS = """
SELECT kind, count(*) AS events FROM operations
WHERE at >= $1::timestamptz AND at < $2::timestamptz GROUP BY kind
"""
ENDPOINTS = "SELECT kind, count(*) AS endpoints FROM endpoints GROUP BY kind"


@dataclass(frozen=True, slots=True)
class Sales:
    """Orders and money of one currency."""

    currency: str
    orders: int
    total: Decimal
    refunded: Decimal


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
    standings: Mapping[Group, Standing]
    tiers: dict[str, int]
    operations: dict[str, int]
    endpoints: dict[str, int]


async def overview(driver: Driver, period: Period, segment: str | None) -> Overview:
    """All sums as of one instant of the database."""
    days = period.first, period.end, segment
    instants = period.starts_at, period.ends_at, segment
    async with driver.transaction(isolation="repeatable_read", readonly=True):
        sums = of_segment(await people.sums(driver, period.first, period.end), segment)
        await driver.execute(_MEMORY)
        bought = await driver.fetch(ORDERS, *instants)
        buyers = next(row for row in bought if row["currency"] is None)
        return Overview(
            known=arrived(sums, date.min, period.end),
            fresh=arrived(sums, period.first, period.end),
            active=await driver.fetchval(ACTIVE, *days),
            sales=_sales(bought, await driver.fetch(REFUNDS, *instants)),
            buyers=buyers["orders"],
            repeating=buyers["repeating"],
            tallies=[tuple(row) for row in await driver.fetch(TALLIES, *days)],
            standings=sums.standings,
            tiers=members(sums),
            operations=dict(await driver.fetch(OPERATIONS, *instants[:2])),
            endpoints=dict(await driver.fetch(ENDPOINTS)),
        )


def _sales(orders: Sequence[Any], refunds: Sequence[Any]) -> list[Sales]:
    """One row per currency in which anything was paid or paid back."""
    placed = {row["currency"]: (row["orders"], row["total"]) for row in orders if row["currency"]}
    refunded = {row["currency"]: row["refunded"] for row in refunds}
    return [
        Sales(
            currency,
            *placed.get(currency, (0, Decimal(0))),
            refunded.get(currency, Decimal(0)),
        )
        for currency in sorted({*placed, *refunded})
    ]
