"""When gestures were given last, per original id and rule."""

from collections.abc import Iterable
from datetime import datetime
from typing import TypeAlias

from services.loyalty.store.loading import Driver
from shared.ids import CustomerId

Given: TypeAlias = dict[tuple[CustomerId, str], datetime]

_LOAD = "SELECT customer_id, rule, given_at FROM gestures WHERE customer_id = ANY($1::text[])"
_SAVE = """
INSERT INTO gestures (customer_id, rule, given_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[])
ON CONFLICT (customer_id, rule) DO UPDATE SET given_at = excluded.given_at
"""


async def load(driver: Driver, customers: Iterable[CustomerId]) -> Given:
    """The last gestures of these ids. Their accounts must be locked."""
    rows = await driver.fetch(_LOAD, list(customers))
    return {(row[0], row[1]): row[2] for row in rows}


async def save(driver: Driver, given: Given) -> None:
    """Remembers the last gestures."""
    keys = sorted(given)
    await driver.execute(
        _SAVE, [one for one, _ in keys], [rule for _, rule in keys], [given[key] for key in keys]
    )
