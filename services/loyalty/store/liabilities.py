"""What the shop owes in points."""

from dataclasses import dataclass
from datetime import datetime

from services.loyalty.store.loading import Driver

_BALANCES = """
SELECT coalesce(sum(active), 0)::bigint, coalesce(sum(reserved), 0)::bigint,
    coalesce(sum(debt), 0)::bigint, count(*) FILTER (WHERE active + reserved > 0)
FROM accounts
"""
_BY_MONTH = """
SELECT to_char(date_trunc('month', expires_at AT TIME ZONE 'UTC'), 'YYYY-MM') AS month,
    sum(remaining)::bigint AS points
FROM lots WHERE remaining > 0 AND expires_at > $1 GROUP BY 1 ORDER BY 1
"""
_OVERDUE = """
SELECT coalesce(sum(remaining), 0)::bigint FROM lots WHERE remaining > 0 AND expires_at <= $1
"""
_MOVEMENTS = """
SELECT coalesce(-sum(issued) FILTER (WHERE kind = 'award'), 0)::bigint,
    coalesce(sum(issued) FILTER (WHERE kind = 'reversal'), 0)::bigint,
    coalesce(sum(redeemed), 0)::bigint, coalesce(sum(expired), 0)::bigint,
    coalesce(-sum(written_off), 0)::bigint
FROM entries
"""


@dataclass(frozen=True, slots=True)
class Liability:
    """Points outstanding, by the month they end, and how they came about.

    issued - reversed - redeemed - expired + written_off = active + reserved - debt.
    """

    active: int
    reserved: int
    debt: int
    members: int
    by_expiry_month: dict[str, int]
    issued: int
    reversed: int
    redeemed: int
    expired: int
    written_off: int


async def liability(driver: Driver, now: datetime) -> Liability:
    """As of now: lots that have ended count as expired, though no job has been by yet."""
    async with driver.transaction(isolation="repeatable_read", readonly=True):
        active, reserved, debt, members = await driver.fetchrow(_BALANCES)
        overdue = await driver.fetchval(_OVERDUE, now)
        months = await driver.fetch(_BY_MONTH, now)
        issued, went_back, redeemed, expired, off = await driver.fetchrow(_MOVEMENTS)
    return Liability(
        active - overdue,
        reserved,
        debt,
        members,
        {row["month"]: row["points"] for row in months},
        issued,
        went_back,
        redeemed,
        expired + overdue,
        off,
    )
