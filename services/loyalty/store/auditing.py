"""Does every balance equal its entries and its lots? Asked of the database, in constant memory."""

from dataclasses import dataclass
from typing import Any

from services.loyalty.store.loading import Driver

_CHECKS = {
    "balances_equal_entries": """
SELECT coalesce(a.customer_id, e.customer_id) AS customer_id,
    coalesce(a.active, 0) AS active, coalesce(e.active, 0)::bigint AS active_of_entries,
    coalesce(a.reserved, 0) AS reserved, coalesce(e.reserved, 0)::bigint AS reserved_of_entries,
    coalesce(a.debt, 0) AS debt, coalesce(e.debt, 0)::bigint AS debt_of_entries
FROM accounts a FULL JOIN (
    SELECT customer_id, sum(active) AS active, sum(reserved) AS reserved, sum(debt) AS debt
    FROM entries GROUP BY customer_id
) e ON e.customer_id = a.customer_id
WHERE (coalesce(a.active, 0), coalesce(a.reserved, 0), coalesce(a.debt, 0))
    <> (coalesce(e.active, 0), coalesce(e.reserved, 0), coalesce(e.debt, 0))
""",
    "balances_equal_lots": """
SELECT coalesce(a.customer_id, l.customer_id) AS customer_id, coalesce(a.active, 0) AS active,
    coalesce(l.remaining, 0)::bigint AS remaining_of_lots,
    coalesce(a.earned, 0) AS earned, coalesce(l.earned, 0)::bigint AS earned_of_lots
FROM accounts a FULL JOIN (
    SELECT customer_id, sum(remaining) AS remaining,
        sum(points - reversed) FILTER (WHERE qualifying) AS earned
    FROM lots GROUP BY customer_id
) l ON l.customer_id = a.customer_id
WHERE (coalesce(a.active, 0), coalesce(a.earned, 0))
    <> (coalesce(l.remaining, 0), coalesce(l.earned, 0))
""",
    "lots_equal_allocations": """
SELECT l.customer_id, l.id::text AS lot_id, l.remaining,
    (l.points - coalesce(a.points, 0))::bigint AS points_not_allocated
FROM lots l LEFT JOIN (
    SELECT customer_id, lot_id, sum(points) AS points FROM lot_allocations
    GROUP BY customer_id, lot_id
) a ON a.customer_id = l.customer_id AND a.lot_id = l.id
WHERE l.remaining <> l.points - coalesce(a.points, 0)
""",
    "reservations_equal_redemptions": """
SELECT coalesce(a.customer_id, r.customer_id) AS customer_id, coalesce(a.reserved, 0) AS reserved,
    coalesce(r.points, 0)::bigint AS reserved_of_redemptions
FROM accounts a FULL JOIN (
    SELECT o.customer_id, sum(o.points) AS points
    FROM redemptions CROSS JOIN unnest(entry_ids) AS made (entry_id)
    JOIN lot_allocations o ON o.entry_id = made.entry_id
    WHERE state = 'reserved' GROUP BY o.customer_id
) r ON r.customer_id = a.customer_id
WHERE coalesce(a.reserved, 0) <> coalesce(r.points, 0)
""",
    "chains_unbroken": """
SELECT customer_id, seq, active_after, reserved_after, debt_after FROM (
    SELECT customer_id, seq, active, reserved, debt, active_after, reserved_after, debt_after,
        lag(seq, 1, 0) OVER chain AS seq_before,
        lag(active_after, 1, 0) OVER chain AS active_before,
        lag(reserved_after, 1, 0) OVER chain AS reserved_before,
        lag(debt_after, 1, 0) OVER chain AS debt_before
    FROM entries WINDOW chain AS (PARTITION BY customer_id ORDER BY seq)
) AS linked
WHERE (seq, active_after, reserved_after, debt_after)
    <> (seq_before + 1, active_before + active, reserved_before + reserved, debt_before + debt)
""",
    "entries_balanced": """
SELECT customer_id, seq, id::text AS entry_id FROM entries
WHERE active + reserved - debt + issued + expired + redeemed + written_off <> 0
""",
    "orders_equal_lots": """
SELECT o.customer_id, o.order_id, o.points, l.points AS points_of_lot, o.reversed,
    l.reversed AS reversed_of_lot
FROM orders o JOIN lots l ON l.customer_id = o.customer_id AND l.id = o.lot_id
WHERE (o.points, o.reversed) <> (l.points, l.reversed)
""",
}
_COUNTS = """
SELECT (SELECT count(*) FROM accounts) AS accounts, (SELECT count(*) FROM entries) AS entries,
    (SELECT count(*) FROM lots) AS lots
"""
# Held until the transaction ends, however it ends; other replicas meet it as well.
_ALONE = "SELECT pg_try_advisory_xact_lock(hashtextextended('loyalty.audit', 0))"


@dataclass(frozen=True, slots=True)
class Check:
    """One question: how many rows differ, and the first of them."""

    name: str
    differences: int
    first: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Audit:
    accounts: int
    entries: int
    lots: int
    checks: list[Check]


async def audit(driver: Driver, *, differences_max: int, seconds_max: float) -> Audit | None:
    """Asks every question of one and the same state of the database; None while another does.

    Each reads whole tables, so that a few at once would keep every other reader waiting.
    """
    async with driver.transaction(isolation="repeatable_read", readonly=True):
        if not await driver.fetchval(_ALONE):
            return None
        milliseconds = str(int(seconds_max * 1_000))
        await driver.execute("SELECT set_config('statement_timeout', $1, true)", milliseconds)
        counts = await driver.fetchrow(_COUNTS, timeout=seconds_max)
        checks = [
            await _check(driver, name, differences_max, seconds_max) for name in sorted(_CHECKS)
        ]
    return Audit(counts["accounts"], counts["entries"], counts["lots"], checks)


async def _check(driver: Driver, name: str, differences_max: int, seconds_max: float) -> Check:
    """Reads differing rows through a cursor, keeping the first and counting the rest."""
    first: list[dict[str, Any]] = []
    differences = 0
    async for row in driver.cursor(_CHECKS[name], prefetch=500, timeout=seconds_max):
        differences += 1
        if len(first) < differences_max:
            first.append(dict(row))
    return Check(name, differences, first)
