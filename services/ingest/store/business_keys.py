"""Business keys: claimed once, for ever."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, TypeAlias

import asyncpg

from services.ingest.domain.business import BusinessKey

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_CLAIM = """
INSERT INTO business_keys (kind, key, source, event_id, claimed_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
ON CONFLICT DO NOTHING RETURNING kind, key
"""


class Claim(NamedTuple):
    """An event that says something happened for the first time."""

    key: BusinessKey
    source: str
    event_id: str
    at: datetime


async def claim(driver: Driver, claims: Sequence[Claim]) -> set[BusinessKey]:
    """Which of these keys were not taken; taken in key order, each at most once in `claims`."""
    ordered = sorted(claims)
    rows = await driver.fetch(
        _CLAIM,
        [one.key.kind for one in ordered],
        [one.key.key for one in ordered],
        [one.source for one in ordered],
        [one.event_id for one in ordered],
        [one.at for one in ordered],
    )
    return {BusinessKey(row["kind"], row["key"]) for row in rows}
