"""SQL of deliveries as people look at them, and of sending one again."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.webhooks.store.rows import AttemptRow, DeliveryRow, Driver
from shared.ids import DeliveryId, EndpointId

_SELECT = """
SELECT d.id, d.endpoint_id, d.message_id, m.event_id, d.event_type, d.status, d.lane, d.due_at,
       d.attempts, d.reason, d.created_at, d.completed_at
FROM deliveries d JOIN messages m ON m.id = d.message_id
"""
_LIST = f"""{_SELECT}
WHERE d.endpoint_id = $1 AND ($2::text IS NULL OR d.status = $2)
  AND ($3::timestamptz IS NULL OR (d.created_at, d.id) < ($3, $4))
ORDER BY d.created_at DESC, d.id DESC LIMIT $5
"""
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
_SKIP = """
UPDATE deliveries SET status = 'cancelled', reason = 'skipped on enabling', completed_at = $2
WHERE endpoint_id = $1 AND status = 'pending'
"""
_TO_REPLAY_LANE = """
UPDATE deliveries SET lane = 1 WHERE endpoint_id = $1 AND status = 'pending' AND lane = 0
"""


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
    rows = await driver.fetch(_LIST, endpoint, status, at, last, limit)
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


async def skip_pending(driver: Driver, endpoint: EndpointId, now: datetime) -> None:
    """Gives up what waited while the endpoint was disabled."""
    await driver.execute(_SKIP, endpoint, now)


async def replay_pending(driver: Driver, endpoint: EndpointId) -> None:
    """What waited goes behind live traffic."""
    await driver.execute(_TO_REPLAY_LANE, endpoint)
