"""SQL of models: requests for a fit, fitted models, the one in force, and what fits are made of."""

import json
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from services.scoring.domain.fitting import Collector, Purchases
from services.scoring.domain.models import Model, from_plain
from services.scoring.store.people import Driver

# Reading all purchases of a large shop takes longer than a request may.
READ_SECONDS = 600
_ROWS_AT_ONCE = 10_000
_ALLOW = f"SET LOCAL statement_timeout = '{READ_SECONDS}s'"
# As text: whether a driver decodes jsonb depends on who made its connection.
_COLUMNS = """id, status, requested_at, fitted_at, window_from, window_to, purchases,
  parameters::text, metrics::text, reason, active"""
_ACTIVE_ID = "SELECT id FROM models WHERE active"
_GET = f"SELECT {_COLUMNS} FROM models WHERE id = $1"  # noqa: S608
_LIST = f"SELECT {_COLUMNS} FROM models WHERE id < $1 ORDER BY id DESC LIMIT $2"  # noqa: S608
_REQUEST = """
INSERT INTO models (status, requested_at, active) VALUES ('requested', $1, false) RETURNING id
"""
_WAITING = "SELECT id FROM models WHERE status = 'requested' ORDER BY id LIMIT 1"
_LATEST = """
SELECT fitted_at, purchases FROM models WHERE status <> 'requested'
ORDER BY id DESC LIMIT 1
"""
_FINISH = """
UPDATE models SET status = $2, fitted_at = $3, window_from = $4, window_to = $5, purchases = $6,
  parameters = $7::jsonb, metrics = $8::jsonb, reason = $9 WHERE id = $1
"""
_ACTIVE = zlib.crc32(b"scoring.models.active")
_OWN_ACTIVE = "SELECT pg_advisory_xact_lock($1)"
_DEACTIVATE = "UPDATE models SET active = false, rescored_through = NULL WHERE active"
_ACTIVATE = "UPDATE models SET active = true, rescored_through = '' WHERE id = $1"
_RESCORING = "SELECT id, rescored_through FROM models WHERE active AND rescored_through IS NOT NULL"
_RESCORED = "UPDATE models SET rescored_through = $2 WHERE id = $1"
_COUNT = "SELECT count(*) FROM purchases WHERE placed_at <= $1 AND NOT cancelled"
_CURRENCY = """
SELECT currency FROM purchases WHERE placed_at <= $1 AND NOT cancelled
GROUP BY currency ORDER BY count(*) DESC, currency LIMIT 1
"""
_HISTORY = """
SELECT coalesce(l.root_id, p.customer_id) AS customer,
  floor(extract(epoch FROM placed_at) / 86400)::int AS day,
  coalesce(sum(minor - refunded_minor) FILTER (WHERE currency = $2), 0)::float8 AS net,
  count(*) AS orders
FROM purchases p LEFT JOIN links l ON l.customer_id = p.customer_id
WHERE placed_at <= $1 AND NOT cancelled GROUP BY 1, 2 ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Fit:
    """How a fit ended. `status` is ready, refused (too little history) or failed."""

    status: str
    fitted_at: datetime
    window: tuple[datetime, datetime] | None
    purchases: int
    parameters: dict[str, Any] | None
    metrics: dict[str, Any] | None
    reason: str | None = None


async def active_id(driver: Driver) -> int | None:
    """The id of the model in force; None for the prior."""
    found: int | None = await driver.fetchval(_ACTIVE_ID)
    return found


async def load(driver: Driver, model_id: int) -> Model:
    """A fitted model."""
    row = await driver.fetchrow(_GET, model_id)
    assert row is not None, f"model {model_id} is active but not there"
    return from_plain(json.loads(row["parameters"]))


async def get(driver: Driver, model_id: int) -> asyncpg.Record | None:
    """A row of `models`."""
    return await driver.fetchrow(_GET, model_id)


async def page(driver: Driver, before: int, limit: int) -> list[asyncpg.Record]:
    """Rows of `models`, the newest first, from below an id."""
    rows: list[asyncpg.Record] = await driver.fetch(_LIST, before, limit)
    return rows


async def request(driver: Driver, now: datetime) -> int:
    """Asks for a fit; the job finds it."""
    number: int = await driver.fetchval(_REQUEST, now)
    return number


async def waiting(driver: Driver) -> int | None:
    """The oldest request that nobody has answered."""
    found: int | None = await driver.fetchval(_WAITING)
    return found


async def latest_fit(driver: Driver) -> tuple[datetime, int] | None:
    """When the last fit was made, and of how many purchases."""
    row = await driver.fetchrow(_LATEST)
    return None if row is None else (row["fitted_at"], row["purchases"])


async def finish(driver: Driver, model_id: int, fit: Fit) -> None:
    """Writes down how a fit ended."""
    start, end = fit.window if fit.window is not None else (None, None)
    await driver.execute(
        _FINISH,
        model_id,
        fit.status,
        fit.fitted_at,
        start,
        end,
        fit.purchases,
        None if fit.parameters is None else json.dumps(fit.parameters),
        None if fit.metrics is None else json.dumps(fit.metrics),
        fit.reason,
    )


async def activate(driver: Driver, model_id: int) -> None:
    """Puts a fitted model in force; everybody is then assessed anew. One at a time: of two at once
    the later one holds."""
    await driver.execute(_OWN_ACTIVE, _ACTIVE)
    await driver.execute(_DEACTIVATE)
    await driver.execute(_ACTIVATE, model_id)


async def rescoring(driver: Driver) -> tuple[int, str] | None:
    """The active model and the last customer assessed anew, while that is under way."""
    row = await driver.fetchrow(_RESCORING)
    return None if row is None else (row["id"], row["rescored_through"])


async def rescored(driver: Driver, model_id: int, through: str | None) -> None:
    """Remembers how far it went; None when everybody is done."""
    await driver.execute(_RESCORED, model_id, through)


async def purchases_until(driver: Driver, cut: datetime) -> int:
    """How many orders there were."""
    number: int = await driver.fetchval(_COUNT, cut)
    return number


async def main_currency(driver: Driver, cut: datetime) -> str | None:
    """The currency of most orders."""
    found: str | None = await driver.fetchval(_CURRENCY, cut)
    return found


async def purchase_days(driver: Driver, cut: datetime, currency: str) -> Purchases:
    """All purchase days, their worth in `currency`, read in pieces."""
    await driver.execute(_ALLOW)
    found = Collector()
    async for row in driver.cursor(
        _HISTORY, cut, currency, prefetch=_ROWS_AT_ONCE, timeout=READ_SECONDS
    ):
        found.add(row["customer"], row["day"], row["net"], row["orders"])
    return found.done()
