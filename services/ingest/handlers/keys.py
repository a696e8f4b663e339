"""API keys: made, rotated, revoked. Each change is announced, hash and rights only."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from services.ingest.store import keys
from services.ingest.store.keys import KeyRow
from shared.events.keys import KeyChanged, KeyChangedData, Scope
from shared.ids import CustomerId, random_event_id, random_secret_bytes
from shared.runtime.auth import format_key, secret_hash, split_key
from shared.runtime.db import Transaction

Revocation = Literal["revoked", "missing", "last"]
FIRST_SCOPES: tuple[Scope, ...] = ("admin", "ingest", "read")
SOURCE = "/ingest"
_ID_BYTES = 8
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key in the clear, seen this once, and what is stored of it."""

    key: str
    row: KeyRow


async def create_key(
    tx: Transaction,
    scopes: Sequence[Scope],
    label: str,
    *,
    now: datetime,
    expires_at: datetime | None = None,
    test: bool = False,
) -> NewKey:
    """A new key with these scopes; what is posted with a `test` key goes nowhere."""
    secret = _secret()
    row = KeyRow(
        id=random_secret_bytes(_ID_BYTES).hex(),
        label=label,
        scopes=tuple(dict.fromkeys(scopes)),
        secret_hash=secret_hash(secret),
        previous_hash=None,
        previous_expires_at=None,
        created_at=now,
        rotated_at=None,
        expires_at=expires_at,
        revoked_at=None,
        test=test,
    )
    await keys.insert(tx.driver, row)
    _announce(tx, row, now)
    return NewKey(format_key(row.id, secret), row)


async def rotate_key(
    tx: Transaction, key_id: str, grace: timedelta, *, now: datetime
) -> NewKey | None:
    """A new secret for a key; the old one is good for `grace` longer. None for a key that is not
    there or has ended. The key keeps its id, so its events keep their source."""
    row = await keys.lock(tx.driver, key_id)
    if row is None or row.ended(now):
        return None
    secret = _secret()
    row = replace(
        row,
        secret_hash=secret_hash(secret),
        previous_hash=row.secret_hash,
        previous_expires_at=now + grace,
        rotated_at=now,
    )
    await keys.update(tx.driver, row)
    _announce(tx, row, now)
    return NewKey(format_key(row.id, secret), row)


async def revoke_key(tx: Transaction, key_id: str, *, now: datetime) -> Revocation:
    """Ends a key at once and for ever. Doing it again changes nothing.

    The last key of an administrator stays: without one nobody could make another.
    """
    admins = await keys.lock_admins(tx.driver, now)
    row = await keys.lock(tx.driver, key_id)
    if row is None:
        return "missing"
    if admins == [key_id]:
        return "last"
    if row.revoked_at is None:
        row = replace(row, revoked_at=now)
        await keys.update(tx.driver, row)
        _announce(tx, row, now)
    return "revoked"


async def ensure_first_keys(tx: Transaction, *, now: datetime) -> dict[str, str] | None:
    """One key each for admin, ingest and read, by scope; None when keys were made before."""
    if not await keys.none_yet(tx.driver):
        return None
    made: dict[str, str] = {}
    for scope in FIRST_SCOPES:
        made[scope] = (await create_key(tx, (scope,), f"first {scope} key", now=now)).key
    return made


async def is_known(tx: Transaction, key: str) -> bool:
    """Whether a key was made in this database, whatever became of it since."""
    parts = split_key(key)
    return parts is not None and await keys.lock(tx.driver, parts[0]) is not None


def _secret() -> str:
    """256 random bits as 43 characters."""
    return base64.urlsafe_b64encode(random_secret_bytes(_SECRET_BYTES)).decode().rstrip("=")


def _announce(tx: Transaction, row: KeyRow, now: datetime) -> None:
    tx.publish(
        KeyChanged(
            id=random_event_id(),
            source=SOURCE,
            subject=CustomerId(row.id),
            time=now,
            recordedtime=now,
            data=KeyChangedData(
                key_id=row.id,
                secret_hash=row.secret_hash,
                scopes=tuple(row.scopes),
                label=row.label,
                revoked_at=row.revoked_at,
                expires_at=row.expires_at,
                previous_hash=row.previous_hash,
                previous_expires_at=row.previous_expires_at,
                test=row.test or None,
            ),
        )
    )
