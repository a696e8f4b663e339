"""What holds for the whole shop: its policy of contact, and the secret that signs its links."""

from datetime import datetime

from services.campaigns.domain.policy import Policy
from services.campaigns.store.rows import Driver
from shared.ids import random_secret_bytes

_POLICY = "SELECT document::text, changed_at FROM policy"
_SAVE_POLICY = """
INSERT INTO policy (document, changed_at) VALUES ($1::jsonb, $2)
ON CONFLICT (single) DO UPDATE SET document = excluded.document, changed_at = excluded.changed_at
"""
_MAKE_BYTES = "INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_BYTES = "SELECT value FROM secrets WHERE name = $1"
_SIZE_BYTES = 32


async def policy(driver: Driver, default: Policy) -> tuple[Policy, datetime | None]:
    """The operator's policy and since when, or the default."""
    row = await driver.fetchrow(_POLICY)
    if row is None:
        return default, None
    return Policy.model_validate_json(row["document"]), row["changed_at"]


async def save_policy(driver: Driver, chosen: Policy, now: datetime) -> None:
    await driver.execute(_SAVE_POLICY, chosen.model_dump_json(), now)


async def secret(driver: Driver, name: str) -> bytes:
    """32 bytes made once, whoever asks first."""
    await driver.execute(_MAKE_BYTES, name, random_secret_bytes(_SIZE_BYTES))
    value: bytes = await driver.fetchval(_BYTES, name)
    return value
