"""SQL of endpoints and their secrets."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from services.webhooks.domain.interest import Interest
from services.webhooks.domain.standing import Standing
from services.webhooks.store.rows import Backlog, Driver, EndpointRow, standing_of
from shared.ids import EndpointId

_COLUMNS = """id, url, event_types, description, rate_per_second, enabled, disabled_at,
 disabled_reason, failing_since, failures, reported, held_until, created_at, updated_at"""
_INSERT = """
INSERT INTO endpoints (id, url, event_types, description, rate_per_second, enabled, failures,
                       reported, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, true, 0, false, $6, $6)
"""
_LIST = f"""
SELECT {_COLUMNS} FROM endpoints
WHERE deleted_at IS NULL AND (created_at, id) > ($1, $2) ORDER BY created_at, id LIMIT $3
"""  # noqa: S608 — constants
_GET = f"SELECT {_COLUMNS} FROM endpoints WHERE id = $1 AND deleted_at IS NULL"  # noqa: S608
_UPDATE = """
UPDATE endpoints SET url = $2, event_types = $3, description = $4, rate_per_second = $5,
       paid_until = NULL, updated_at = $6
WHERE id = $1
"""
_LOCK = """
SELECT id, enabled, disabled_at, disabled_reason, failing_since, failures, reported, held_until
FROM endpoints WHERE id = ANY($1::text[]) ORDER BY id FOR NO KEY UPDATE
"""
_SAVE_STANDINGS = """
UPDATE endpoints SET enabled = given.enabled, failing_since = given.failing_since,
       failures = given.failures, reported = given.reported, held_until = given.held_until,
       disabled_at = given.disabled_at, disabled_reason = given.disabled_reason
FROM unnest($1::text[], $2::bool[], $3::timestamptz[], $4::int[], $5::bool[], $6::timestamptz[],
            $7::timestamptz[], $8::text[])
  AS given (id, enabled, failing_since, failures, reported, held_until, disabled_at,
            disabled_reason)
WHERE endpoints.id = given.id
"""
_INTERESTS = """
SELECT id, event_types FROM endpoints
WHERE deleted_at IS NULL AND (enabled OR disabled_at > $1) ORDER BY id
"""
_SET_BACKLOG = "UPDATE endpoints SET backlog = $2, backlog_until = $3 WHERE id = $1"
_NEXT_BACKLOG = """
SELECT id, backlog, backlog_until FROM endpoints WHERE backlog IS NOT NULL AND deleted_at IS NULL
ORDER BY backlog_until, id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
"""
_DELETE = """
UPDATE endpoints SET deleted_at = $2, updated_at = $2 WHERE id = $1 AND deleted_at IS NULL
"""
_EXPIRE_SECRETS = """
UPDATE endpoint_secrets SET expires_at = $2
WHERE endpoint_id = $1 AND (expires_at IS NULL OR expires_at > $2)
"""
_ADD_SEALED = """
INSERT INTO endpoint_secrets (endpoint_id, version, sealed, created_at)
SELECT $1, coalesce(max(version), 0) + 1, $2, $3 FROM endpoint_secrets WHERE endpoint_id = $1
"""
_TRIM_SECRETS = """
DELETE FROM endpoint_secrets WHERE endpoint_id = $1 AND (expires_at <= $2 OR version <= (
  SELECT max(version) FROM endpoint_secrets WHERE endpoint_id = $1) - $3)
"""
_SECRETS = """
SELECT endpoint_id, sealed FROM endpoint_secrets
WHERE endpoint_id = ANY($1::text[]) AND (expires_at IS NULL OR expires_at > $2)
ORDER BY endpoint_id, version DESC
"""


def _row(row: Any) -> EndpointRow:
    return EndpointRow(
        id=EndpointId(row["id"]),
        url=row["url"],
        event_types=tuple(row["event_types"]),
        description=row["description"],
        rate_per_second=row["rate_per_second"],
        standing=standing_of(row),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


async def count(driver: Driver) -> int:
    """How many endpoints there are."""
    found = await driver.fetchval("SELECT count(*) FROM endpoints WHERE deleted_at IS NULL")
    return int(found or 0)


async def insert(driver: Driver, endpoint: EndpointRow) -> None:
    await driver.execute(
        _INSERT,
        endpoint.id,
        endpoint.url,
        list(endpoint.event_types),
        endpoint.description,
        endpoint.rate_per_second,
        endpoint.created_at,
    )


async def get(driver: Driver, endpoint: EndpointId) -> EndpointRow | None:
    """The endpoint, unless it was deleted."""
    row = await driver.fetchrow(_GET, endpoint)
    return None if row is None else _row(row)


async def get_locked(driver: Driver, endpoint: EndpointId) -> EndpointRow | None:
    """The same, held against other changes until the transaction ends."""
    row = await driver.fetchrow(f"{_GET} FOR NO KEY UPDATE", endpoint)
    return None if row is None else _row(row)


async def page(driver: Driver, after: tuple[datetime, str], limit: int) -> Sequence[EndpointRow]:
    """Endpoints created after this position, oldest first."""
    return [_row(row) for row in await driver.fetch(_LIST, *after, limit)]


async def update(driver: Driver, endpoint: EndpointRow) -> None:
    """Saves what an operator may change, standing included."""
    await driver.execute(
        _UPDATE,
        endpoint.id,
        endpoint.url,
        list(endpoint.event_types),
        endpoint.description,
        endpoint.rate_per_second,
        endpoint.updated_at,
    )
    await save_standings(driver, {endpoint.id: endpoint.standing})


async def delete(driver: Driver, endpoint: EndpointId, now: datetime) -> bool:
    """Takes an endpoint out of service; its history stays until retention."""
    deleted = await driver.execute(_DELETE, endpoint, now) == "UPDATE 1"
    # Under the lock on the endpoint, so that no secret is being added meanwhile.
    await driver.execute("DELETE FROM endpoint_secrets WHERE endpoint_id = $1", endpoint)
    return bool(deleted)


async def set_backlog(driver: Driver, backlog: Backlog) -> None:
    """Until it is seen to, nothing is leased for this endpoint."""
    await driver.execute(_SET_BACKLOG, backlog.endpoint_id, backlog.waiting, backlog.until)


async def clear_backlog(driver: Driver, endpoint: EndpointId) -> None:
    await driver.execute(_SET_BACKLOG, endpoint, None, None)


async def next_backlog(driver: Driver) -> Backlog | None:
    """The oldest one, with its endpoint locked."""
    row = await driver.fetchrow(_NEXT_BACKLOG)
    if row is None:
        return None
    return Backlog(EndpointId(row["id"]), row["backlog"], row["backlog_until"])


async def lock_standings(
    driver: Driver, endpoints: Sequence[EndpointId]
) -> dict[EndpointId, Standing]:
    """Standings, locked in id order."""
    rows = await driver.fetch(_LOCK, list(endpoints))
    return {EndpointId(row["id"]): standing_of(row) for row in rows}


async def save_standings(driver: Driver, standings: Mapping[EndpointId, Standing]) -> None:
    """One statement for all."""
    values = list(standings.values())
    await driver.execute(
        _SAVE_STANDINGS,
        list(standings),
        [one.enabled for one in values],
        [one.failing_since for one in values],
        [one.failures for one in values],
        [one.reported for one in values],
        [one.held_until for one in values],
        [one.disabled_at for one in values],
        [one.disabled_reason for one in values],
    )


async def interests(driver: Driver, disabled_after: datetime) -> Sequence[Interest]:
    """What every endpoint wants; one disabled before `disabled_after` gets nothing queued."""
    rows = await driver.fetch(_INTERESTS, disabled_after)
    return [Interest(EndpointId(row["id"]), tuple(row["event_types"])) for row in rows]


async def add_secret(driver: Driver, endpoint: EndpointId, sealed: bytes, now: datetime) -> None:
    await driver.execute(_ADD_SEALED, endpoint, sealed, now)


async def expire_secrets(driver: Driver, endpoint: EndpointId, expires_at: datetime) -> None:
    """Every secret that lives longer ends then; one that ends sooner still does."""
    await driver.execute(_EXPIRE_SECRETS, endpoint, expires_at)


async def trim_secrets(driver: Driver, endpoint: EndpointId, now: datetime, keep: int) -> None:
    """Forgets secrets that ended, and the oldest beyond `keep`."""
    await driver.execute(_TRIM_SECRETS, endpoint, now, keep)


async def sealed_secrets(
    driver: Driver, endpoints: Sequence[EndpointId], now: datetime
) -> dict[EndpointId, list[bytes]]:
    """The secrets in force, newest first."""
    found: dict[EndpointId, list[bytes]] = {}
    for row in await driver.fetch(_SECRETS, list(endpoints), now):
        found.setdefault(EndpointId(row["endpoint_id"]), []).append(row["sealed"])
    return found
