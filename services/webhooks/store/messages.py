"""SQL of messages: sequence numbers, what is to be told, and what must be forgotten."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.webhooks.store.rows import Driver
from shared.ids import DeliveryId, EndpointId

_NEXT = """
INSERT INTO sequences (subject_key, last)
SELECT key, more FROM unnest($1::bytea[], $2::bigint[]) AS wanted (key, more) ORDER BY key
ON CONFLICT (subject_key) DO UPDATE SET last = sequences.last + excluded.last
RETURNING subject_key, last
"""
_INSERT = """
INSERT INTO messages (id, event_id, event_type, subject, sequence, body, created_at)
SELECT id, event_id, event_type, subject, sequence, body, $7
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bytea[])
  AS given (id, event_id, event_type, subject, sequence, body)
ON CONFLICT DO NOTHING
"""
_INSERT_DELIVERIES = """
INSERT INTO deliveries (id, message_id, endpoint_id, event_type, status, lane, due_at, leases,
                        tries, attempts, created_at)
SELECT id, message_id, endpoint_id, event_type, 'pending', $5, $6, 0, 0, 0, $6
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
  AS given (id, message_id, endpoint_id, event_type)
ON CONFLICT DO NOTHING
"""
_ERASED = """
SELECT messages.id FROM messages JOIN unnest($1::text[], $2::bigint[]) AS gone (subject, sequence)
  ON messages.subject = gone.subject AND messages.sequence < gone.sequence
ORDER BY messages.id FOR UPDATE OF messages
"""
_LOCK_DELIVERIES = """
SELECT id FROM deliveries WHERE message_id = ANY($1::text[]) ORDER BY id FOR UPDATE
"""
_EMPTY = "UPDATE messages SET body = NULL, subject = NULL WHERE id = ANY($1::text[])"
_CANCEL = """
UPDATE deliveries SET status = 'cancelled', reason = 'customer erased', completed_at = $2
WHERE id = ANY($1::text[]) AND status = 'pending'
"""
_FORGET_ANSWERS = "UPDATE attempts SET answer = NULL WHERE delivery_id = ANY($1::text[])"
_DROP_OLD = """
DELETE FROM messages WHERE id IN (
  SELECT id FROM messages WHERE created_at < $1 ORDER BY created_at LIMIT $2)
"""
_CANCEL_ORPHANS = """
UPDATE deliveries SET status = 'cancelled', reason = 'endpoint deleted', completed_at = $1
WHERE id IN (
  SELECT deliveries.id FROM endpoints CROSS JOIN LATERAL (
    SELECT id FROM deliveries WHERE endpoint_id = endpoints.id AND status = 'pending' LIMIT $2
  ) AS deliveries
  WHERE endpoints.deleted_at IS NOT NULL LIMIT $2)
"""
_DROP_ENDPOINTS = """
DELETE FROM endpoints WHERE deleted_at < $1
  AND NOT EXISTS (SELECT FROM deliveries WHERE endpoint_id = endpoints.id)
"""


@dataclass(frozen=True, slots=True)
class NewMessage:
    """One message and who is to get it."""

    id: str
    event_id: str
    event_type: str
    subject: str
    sequence: int
    body: bytes
    deliveries: tuple[tuple[DeliveryId, EndpointId], ...]


def _subject_key(subject: str) -> bytes:
    return hashlib.blake2b(subject.encode(), digest_size=16).digest()


async def take_sequences(driver: Driver, counts: Mapping[str, int]) -> dict[str, int]:
    """Takes `counts[subject]` numbers for each subject; returns the first of each."""
    subjects = {_subject_key(subject): subject for subject in counts}
    keys = sorted(subjects)
    rows = await driver.fetch(_NEXT, keys, [counts[subjects[key]] for key in keys])
    last = {subjects[row["subject_key"]]: row["last"] for row in rows}
    return {subject: last[subject] - many + 1 for subject, many in counts.items()}


async def insert(
    driver: Driver, messages: Sequence[NewMessage], now: datetime, lane: int = 0
) -> None:
    """Messages and their deliveries, due at once; what is there already stays as it is."""
    await driver.execute(
        _INSERT,
        [one.id for one in messages],
        [one.event_id for one in messages],
        [one.event_type for one in messages],
        [one.subject for one in messages],
        [one.sequence for one in messages],
        [one.body for one in messages],
        now,
    )
    pairs = [(delivery, one, endpoint) for one in messages for delivery, endpoint in one.deliveries]
    await driver.execute(
        _INSERT_DELIVERIES,
        [delivery for delivery, _, _ in pairs],
        [message.id for _, message, _ in pairs],
        [endpoint for _, _, endpoint in pairs],
        [message.event_type for _, message, _ in pairs],
        lane,
        now,
    )


async def expunge(driver: Driver, erased: Mapping[str, int], now: datetime) -> None:
    """Empties what was to be told of these customers before the erasure's own sequence number.

    By number and not by time, so it does not matter whether the erasure shared their batch.
    """
    rows = await driver.fetch(_ERASED, list(erased), list(erased.values()))
    messages = [row["id"] for row in rows]
    locked = await driver.fetch(_LOCK_DELIVERIES, messages)
    deliveries = [row["id"] for row in locked]
    await driver.execute(_EMPTY, messages)
    await driver.execute(_CANCEL, deliveries, now)
    await driver.execute(_FORGET_ANSWERS, deliveries)


async def drop_old(driver: Driver, now: datetime, retention: timedelta, rows_max: int) -> bool:
    """Deletes old messages with their deliveries and attempts; True when there may be more."""
    dropped = await driver.execute(_DROP_OLD, now - retention, rows_max)
    cancelled = await driver.execute(_CANCEL_ORPHANS, now, rows_max)
    await driver.execute(_DROP_ENDPOINTS, now - retention)
    return bool(dropped == f"DELETE {rows_max}" or cancelled == f"UPDATE {rows_max}")
