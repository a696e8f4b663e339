"""Whom the clock is waiting for."""

from datetime import datetime

from services.loyalty.store.loading import Driver
from shared.ids import CustomerId

_DUE_LOTS = """
SELECT customer_id FROM (
    SELECT customer_id, expires_at FROM lots WHERE remaining > 0 AND expires_at <= $1
    ORDER BY expires_at LIMIT $2
) AS due GROUP BY customer_id ORDER BY customer_id
"""
_DUE_REVIEWS = """
(SELECT customer_id FROM accounts WHERE review_at <= $1 ORDER BY review_at LIMIT $2)
UNION
(SELECT customer_id FROM accounts WHERE linked_review_at <= $1 ORDER BY linked_review_at LIMIT $2)
ORDER BY customer_id
"""


async def with_due_lots(driver: Driver, now: datetime, limit: int) -> list[CustomerId]:
    """Customers of the `limit` lots that ended first."""
    return [row[0] for row in await driver.fetch(_DUE_LOTS, now, limit)]


async def with_due_reviews(driver: Driver, now: datetime, limit: int) -> list[CustomerId]:
    """Customers of the `limit` reviews that are due first, of ids and of linked ids each."""
    return [row[0] for row in await driver.fetch(_DUE_REVIEWS, now, limit)]
