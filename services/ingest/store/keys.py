"""API keys: their hashes and rights. The keys themselves are nowhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import asyncpg

from shared.events.keys import Scope

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_COLUMNS = (
    "id, label, scopes, secret_hash, previous_hash, previous_expires_at, created_at, rotated_at, "
    "expires_at, revoked_at, test"
)
_INSERT = f"INSERT INTO keys ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"  # noqa: S608
_UPDATE = """
UPDATE keys SET secret_hash = $2, previous_hash = $3, previous_expires_at = $4, rotated_at = $5,
       revoked_at = $6
WHERE id = $1
"""
_LOCK = f"SELECT {_COLUMNS} FROM keys WHERE id = $1 FOR UPDATE"  # noqa: S608
_LOCK_ADMINS = """
SELECT id FROM keys
WHERE 'admin' = ANY(scopes) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)
ORDER BY id FOR UPDATE
"""
_PAGE = f"""
SELECT {_COLUMNS} FROM keys WHERE ($1::timestamptz IS NULL OR (created_at, id) > ($1, $2))
ORDER BY created_at, id LIMIT $3
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One key. `previous_hash` is the secret before the last rotation, good for a while longer."""

    id: str
    label: str
    scopes: Sequence[Scope]
    secret_hash: str
    previous_hash: str | None
    previous_expires_at: datetime | None
    created_at: datetime
    rotated_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    test: bool = False

    def ended(self, now: datetime) -> bool:
        """Whether nobody can use it any more."""
        expired = self.expires_at is not None and self.expires_at <= now
        return expired or self.revoked_at is not None


async def insert(driver: Driver, key: KeyRow) -> None:
    await driver.execute(
        _INSERT,
        key.id,
        key.label,
        list(key.scopes),
        key.secret_hash,
        key.previous_hash,
        key.previous_expires_at,
        key.created_at,
        key.rotated_at,
        key.expires_at,
        key.revoked_at,
        key.test,
    )


async def update(driver: Driver, key: KeyRow) -> None:
    """Saves what rotation and revocation change."""
    await driver.execute(
        _UPDATE,
        key.id,
        key.secret_hash,
        key.previous_hash,
        key.previous_expires_at,
        key.rotated_at,
        key.revoked_at,
    )


async def lock(driver: Driver, key_id: str) -> KeyRow | None:
    row = await driver.fetchrow(_LOCK, key_id)
    return KeyRow(**dict(row)) if row is not None else None


async def lock_admins(driver: Driver, now: datetime) -> list[str]:
    """The keys with which keys can be made, held until the end of the transaction."""
    return [row["id"] for row in await driver.fetch(_LOCK_ADMINS, now)]


async def none_yet(driver: Driver) -> bool:
    """Whether no key was ever made; keeps others from making one until the transaction ends."""
    await driver.execute("LOCK TABLE keys IN SHARE ROW EXCLUSIVE MODE")
    return not await driver.fetchval("SELECT EXISTS (SELECT FROM keys)")


async def page(
    driver: Driver, *, after: tuple[datetime, str] | None, rows_max: int
) -> list[KeyRow]:
    """The oldest first, after a position if one is given."""
    at, key_id = after if after is not None else (None, None)
    return [KeyRow(**dict(row)) for row in await driver.fetch(_PAGE, at, key_id, rows_max)]
