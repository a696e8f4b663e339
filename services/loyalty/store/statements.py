"""The lines of a person's ledger, oldest first, over all their ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.loyalty.store.loading import Driver
from shared.ids import CustomerId

# (booked_at, customer_id, seq): `booked_at` never goes back within one id.
Position = tuple[datetime, CustomerId, int]

_LINES = """
SELECT id::text, customer_id, seq, kind, cause, rule, reason, order_id, redemption_id,
    lot_id::text, reverses::text, occurred_at, booked_at, active, reserved, debt
FROM entries
WHERE customer_id = ANY($1::text[])
    AND ($2::timestamptz IS NULL OR (booked_at, customer_id, seq) > ($2, $3::text, $4::bigint))
    AND ($5::timestamptz IS NULL OR booked_at >= $5)
    AND ($6::timestamptz IS NULL OR booked_at < $6)
ORDER BY booked_at, customer_id, seq LIMIT $7
"""
_BEFORE = """
SELECT coalesce(sum(active), 0)::bigint, coalesce(sum(reserved), 0)::bigint,
    coalesce(sum(debt), 0)::bigint
FROM entries
WHERE customer_id = ANY($1::text[]) AND (booked_at, customer_id, seq) < ($2, $3::text, $4::bigint)
"""
_UNTIL = """
SELECT coalesce(sum(active), 0)::bigint, coalesce(sum(reserved), 0)::bigint,
    coalesce(sum(debt), 0)::bigint
FROM entries
WHERE customer_id = ANY($1::text[]) AND ($2::timestamptz IS NULL OR booked_at < $2)
"""
_ANY = "SELECT EXISTS (SELECT FROM entries WHERE customer_id = ANY($1::text[]))"


@dataclass(frozen=True, slots=True)
class Line:
    """One entry as the customer sees it: changes of active, reserved and owed points."""

    entry_id: str
    customer_id: CustomerId
    seq: int
    kind: str
    cause: str
    rule: str | None
    reason: str
    order_id: str | None
    redemption_id: str | None
    lot_id: str | None
    reverses: str | None
    occurred_at: datetime
    booked_at: datetime
    active: int
    reserved: int
    debt: int


@dataclass(frozen=True, slots=True)
class Balances:
    """Sums of changes."""

    active: int
    reserved: int
    debt: int


async def lines(
    driver: Driver,
    ids: Sequence[CustomerId],
    *,
    after: Position | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
) -> list[Line]:
    """Up to `limit` lines booked within [since, until) after a position."""
    booked_at, customer, seq = after or (None, None, None)
    rows = await driver.fetch(_LINES, list(ids), booked_at, customer, seq, since, until, limit)
    return [Line(*row) for row in rows]


async def any_line(driver: Driver, ids: Sequence[CustomerId]) -> bool:
    """Whether anything was ever booked."""
    return bool(await driver.fetchval(_ANY, list(ids)))


async def balances_before(
    driver: Driver, ids: Sequence[CustomerId], position: Position
) -> Balances:
    """What all lines before a position come to."""
    return Balances(*await driver.fetchrow(_BEFORE, list(ids), *position))


async def balances_until(
    driver: Driver, ids: Sequence[CustomerId], until: datetime | None
) -> Balances:
    """What all lines booked before an instant come to; all there are without one."""
    return Balances(*await driver.fetchrow(_UNTIL, list(ids), until))
