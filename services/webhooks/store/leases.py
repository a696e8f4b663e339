"""SQL of the delivery job: what is due, whose turn it is, and how it ended.

Replicas share the work by locking endpoints for the few milliseconds of a lease (`SKIP LOCKED`).
Locks are taken in one order everywhere: endpoints by id, then deliveries by id.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.webhooks.domain.delivery import Outcome
from services.webhooks.domain.pace import Pace
from services.webhooks.store.rows import Driver
from shared.ids import DeliveryId, EndpointId

LIVE, AGAIN = 0, 1

# Each endpoint is asked through the index for its first due row, so the cost is that of the
# endpoints and not of the backlog; LIMIT keeps the planner from joining instead.
_DUE = """
SELECT e.id, e.url, e.rate_per_second, e.paid_until, e.failures FROM endpoints e
CROSS JOIN LATERAL (
  SELECT 1 FROM (VALUES (0), (1)) AS lanes (lane)
  CROSS JOIN LATERAL (
    SELECT 1 FROM deliveries d
    WHERE d.endpoint_id = e.id AND d.status = 'pending' AND d.lane = lanes.lane AND d.due_at <= $1
    ORDER BY d.due_at LIMIT 1) AS first
  LIMIT 1) AS due
WHERE e.enabled AND e.deleted_at IS NULL AND e.backlog IS NULL
  AND (e.held_until IS NULL OR e.held_until <= $1) AND e.id <> ALL($2::text[])
"""
_DUE_LOCKED = f"{_DUE} ORDER BY e.id FOR NO KEY UPDATE OF e SKIP LOCKED"
# Live rows first, and of all endpoints the first rows before anybody's second.
_PICK = """
SELECT picked.id FROM unnest($1::text[], $2::int[]) AS turn (endpoint_id, slots)
CROSS JOIN LATERAL (
  SELECT id, row_number() OVER (ORDER BY lane, due_at) AS place FROM (
    (SELECT id, lane, due_at FROM deliveries d
     WHERE d.endpoint_id = turn.endpoint_id AND status = 'pending' AND lane = 0 AND due_at <= $3
     ORDER BY due_at LIMIT turn.slots)
    UNION ALL
    (SELECT id, lane, due_at FROM deliveries d
     WHERE d.endpoint_id = turn.endpoint_id AND status = 'pending' AND lane = 1 AND due_at <= $3
     ORDER BY due_at LIMIT turn.slots)) AS both_lanes
  ORDER BY lane, due_at LIMIT turn.slots) AS picked
ORDER BY picked.place LIMIT $4
"""
_LEASE = """
UPDATE deliveries d SET due_at = $3, leases = leases + 1 FROM messages m
WHERE d.id IN (SELECT id FROM deliveries WHERE id = ANY($1::text[]) AND status = 'pending'
               AND due_at <= $2 ORDER BY id FOR UPDATE SKIP LOCKED)
  AND m.id = d.message_id AND m.body IS NOT NULL
RETURNING d.id, d.endpoint_id, d.message_id, d.event_type, d.lane, d.leases, m.body
"""
_SAVE_PACES = """
UPDATE endpoints SET paid_until = given.paid_until
FROM unnest($1::text[], $2::timestamptz[]) AS given (id, paid_until) WHERE endpoints.id = given.id
"""
_LOCK = """
SELECT id, status, leases, tries, attempts, reason, completed_at FROM deliveries
WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE
"""
_LOG = """
INSERT INTO attempts (delivery_id, number, at, lane, status_code, failure, duration_ms, answer,
                      answer_bytes)
SELECT * FROM unnest($1::text[], $2::int[], $3::timestamptz[], $4::smallint[], $5::int[],
                     $6::text[], $7::int[], $8::text[], $9::int[])
"""
_SAVE = """
UPDATE deliveries SET status = given.status, due_at = coalesce(given.due_at, deliveries.due_at),
       tries = given.tries, attempts = given.attempts, reason = given.reason,
       completed_at = given.completed_at
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::int[], $5::int[], $6::text[],
            $7::timestamptz[])
  AS given (id, status, due_at, tries, attempts, reason, completed_at)
WHERE deliveries.id = given.id
"""


@dataclass(frozen=True, slots=True)
class Due:
    """An endpoint with something to deliver now. `failures` in a row so far."""

    id: EndpointId
    url: str
    pace: Pace | None
    failures: int


@dataclass(frozen=True, slots=True)
class Lease:
    """One call to be made, ours until the lease ends. `leases` is the fencing token."""

    id: DeliveryId
    endpoint_id: EndpointId
    message_id: str
    event_type: str
    lane: int
    leases: int
    body: bytes


@dataclass(frozen=True, slots=True)
class State:
    """A delivery's row while an outcome is entered. `due_at` None leaves the stored one."""

    status: str
    leases: int
    tries: int
    attempts: int
    reason: str | None
    completed_at: datetime | None
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Logged:
    """A line of the log of attempts."""

    delivery_id: DeliveryId
    number: int
    at: datetime
    lane: int
    outcome: Outcome


async def any_due(driver: Driver, now: datetime, full: Sequence[EndpointId]) -> bool:
    """Whether some endpoint that is not `full` has something to deliver; takes no lock."""
    return await driver.fetchrow(f"{_DUE} LIMIT 1", now, list(full)) is not None


async def lock_due(driver: Driver, now: datetime, full: Sequence[EndpointId]) -> Sequence[Due]:
    """Those endpoints, locked; one that another replica leases from at the moment is left out."""
    rows = await driver.fetch(_DUE_LOCKED, now, list(full))
    return [
        Due(
            EndpointId(row["id"]),
            row["url"],
            Pace(row["rate_per_second"], row["paid_until"]) if row["rate_per_second"] else None,
            row["failures"],
        )
        for row in rows
    ]


async def lease(
    driver: Driver,
    slots: Mapping[EndpointId, int],
    limit: int,
    now: datetime,
    until: datetime,
) -> Sequence[Lease]:
    """Takes up to `slots` due rows of each endpoint and `limit` in all, until `until`."""
    picked = await driver.fetch(_PICK, list(slots), list(slots.values()), now, limit)
    rows = await driver.fetch(_LEASE, [row["id"] for row in picked], now, until)
    return [Lease(**dict(row)) for row in rows]


async def save_paces(driver: Driver, paces: Mapping[EndpointId, Pace]) -> None:
    if paces:
        await driver.execute(_SAVE_PACES, list(paces), [pace.paid_until for pace in paces.values()])


async def lock_states(driver: Driver, deliveries: Sequence[DeliveryId]) -> dict[DeliveryId, State]:
    """The rows of these deliveries, locked; one that retention removed is absent."""
    rows = await driver.fetch(_LOCK, list(deliveries))
    return {
        DeliveryId(row["id"]): State(
            row["status"],
            row["leases"],
            row["tries"],
            row["attempts"],
            row["reason"],
            row["completed_at"],
        )
        for row in rows
    }


async def save(
    driver: Driver, states: Mapping[DeliveryId, State], logged: Sequence[Logged]
) -> None:
    """The attempts and what became of their deliveries: one statement each."""
    outcomes = [one.outcome for one in logged]
    await driver.execute(
        _LOG,
        [one.delivery_id for one in logged],
        [one.number for one in logged],
        [one.at for one in logged],
        [one.lane for one in logged],
        [one.status for one in outcomes],
        [one.failure for one in outcomes],
        [one.duration_ms for one in outcomes],
        [one.answer for one in outcomes],
        [one.answer_bytes for one in outcomes],
    )
    rows = list(states.values())
    await driver.execute(
        _SAVE,
        list(states),
        [one.status for one in rows],
        [one.due_at for one in rows],
        [one.tries for one in rows],
        [one.attempts for one in rows],
        [one.reason for one in rows],
        [one.completed_at for one in rows],
    )
