"""What was answered to which `Idempotency-Key`, for ever: a key books once."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from services.loyalty.store.loading import Driver
from shared.ids import CustomerId

_CLAIM = """
INSERT INTO answers (operation, key, body_hash, customer_id, status, answer, created_at)
VALUES ($1, $2, $3, $4, 0, '', $5) ON CONFLICT DO NOTHING RETURNING key
"""
_READ = "SELECT body_hash, status, answer FROM answers WHERE operation = $1 AND key = $2"
_FILL = "UPDATE answers SET status = $3, answer = $4 WHERE operation = $1 AND key = $2"


@dataclass(frozen=True, slots=True)
class Answer:
    """A stored answer, and the digest of the body that it was given to."""

    body_hash: bytes
    status: int
    answer: str


def hash_of(customer: CustomerId, body: str) -> bytes:
    """A digest of whom and what a request was about."""
    return hashlib.blake2b(f"{customer}\x1f{body}".encode(), digest_size=16).digest()


async def claim(
    driver: Driver,
    operation: str,
    key: str,
    body_hash: bytes,
    customer: CustomerId,
    now: datetime,
) -> Answer | None:
    """None when the key is new and now ours; waits for another request with the same key."""
    if await driver.fetchval(_CLAIM, operation, key, body_hash, customer, now) is not None:
        return None
    row = await driver.fetchrow(_READ, operation, key)
    return Answer(*row)


async def fill(driver: Driver, operation: str, key: str, status: int, answer: str) -> None:
    """Keeps the answer of a claimed key."""
    await driver.execute(_FILL, operation, key, status, answer)
