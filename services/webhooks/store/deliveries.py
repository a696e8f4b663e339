"""SQL of deliveries as people look at them, and of sending one again."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.webhooks.store.rows import AttemptRow, Backlog, DeliveryRow, Driver
from shared.ids import DeliveryId, EndpointId

_SELECT = """
SELECT d.id, d.endpoint_id, d.message_id, m.event_id, d.event_type, d.status, d.lane, d.due_at,
       d.attempts, d.reason, d.created_at, d.completed_at
FROM deliveries d JOIN messages m ON m.id = d.message_id
"""
_OF_ENDPOINT = f"{_SELECT} WHERE d.endpoint_id = $1"
_PAGE = """
  AND ($2::timestamptz IS NULL OR (d.created_at, d.id) < ($2, $3))
ORDER BY d.created_at DESC, d.id DESC LIMIT $4
"""
# One statement each, because the planner must see which index has the rows.
_LIST = f"{_OF_ENDPOINT} {_PAGE}"
_LIST_DELIVERED = f"{_OF_ENDPOINT} AND d.status = 'delivered' {_PAGE}"
_LIST_OF_STATUS = f"{_OF_ENDPOINT} AND d.status = $5 AND d.status <> 'delivered' {_PAGE}"
_GET = f"{_SELECT} WHERE d.id = $1"
_ATTEMPTS = """
SELECT number, at, lane, status_code, failure, duration_ms, answer, answer_bytes
FROM attempts WHERE delivery_id = $1 ORDER BY number
"""
_BODY = """
SELECT m.body FROM messages m JOIN deliveries d ON d.message_id = m.id WHERE d.id = $1
"""
_RESEND = """
UPDATE deliveries SET status = 'pending', lane = 1, due_at = $2, leases = leases + 1, tries = 0,
       reason = NULL, completed_at = NULL
WHERE id = $1 AND EXISTS (
  SELECT FROM messages WHERE messages.id = deliveries.message_id AND body IS NOT NULL)
"""
# A piece of what waited: found through the index, then locked in the order of ids.
_PIECE = """
WITH found AS (
  SELECT id FROM deliveries
  WHERE endpoint_id = $1 AND status = 'pending' AND {which} AND created_at <= $2 LIMIT $3
), piece AS (
  SELECT id FROM deliveries WHERE id IN (SELECT id FROM found) ORDER BY id FOR UPDATE
), done AS (
  UPDATE deliveries SET {change} WHERE id IN (SELECT id FROM piece) AND status = 'pending'
)
SELECT count(*) FROM found
"""
_SKIP = _PIECE.format(
    which="lane IN (0, 1)",
    change="status = 'cancelled', reason = 'skipped on enabling', completed_at = $4",
)
_TO_REPLAY_LANE = _PIECE.format(which="lane = 0", change="lane = 1")


def _row(row: Any) -> DeliveryRow:
    return DeliveryRow(**dict(row))


async def page(
    driver: Driver,
    endpoint: EndpointId,
    status: str | None,
    before: tuple[datetime, str] | None,
    limit: int,
) -> Sequence[DeliveryRow]:
    """An endpoint's deliveries, newest first."""
    at, last = before if before is not None else (None, None)
    if status is None:
        rows = await driver.fetch(_LIST, endpoint, at, last, limit)
    elif status == "delivered":
        rows = await driver.fetch(_LIST_DELIVERED, endpoint, at, last, limit)
    else:
        rows = await driver.fetch(_LIST_OF_STATUS, endpoint, at, last, limit, status)
    return [_row(row) for row in rows]


async def get(driver: Driver, delivery: DeliveryId) -> DeliveryRow | None:
    row = await driver.fetchrow(_GET, delivery)
    return None if row is None else _row(row)


async def attempts(driver: Driver, delivery: DeliveryId) -> Sequence[AttemptRow]:
    """The calls of a delivery, first to last."""
    return [AttemptRow(**dict(row)) for row in await driver.fetch(_ATTEMPTS, delivery)]


async def body(driver: Driver, delivery: DeliveryId) -> bytes | None:
    """What is sent; None once it was erased."""
    found: bytes | None = await driver.fetchval(_BODY, delivery)
    return found


async def resend(driver: Driver, delivery: DeliveryId, now: datetime) -> bool:
    """Starts a new series of attempts, under the same message id; False when the body is gone."""
    return bool(await driver.execute(_RESEND, delivery, now) == "UPDATE 1")


async def release(driver: Driver, backlog: Backlog, now: datetime, rows_max: int) -> bool:
    """Puts some of what waited behind live traffic, or gives it up; True when there may be more."""
    piece = (backlog.endpoint_id, backlog.until, rows_max)
    if backlog.waiting == "skip":
        found = await driver.fetchval(_SKIP, *piece, now)
    else:
        found = await driver.fetchval(_TO_REPLAY_LANE, *piece)
    return bool(found == rows_max)
