"""Interventions: planned once by their key, claimed, sent, converted."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from services.campaigns.domain.attribution import Order
from services.campaigns.domain.gate import Contact
from services.campaigns.domain.intervention import Intervention
from services.campaigns.store.rows import Driver, as_json, value_of

_PLAN = """
INSERT INTO interventions SELECT * FROM jsonb_populate_recordset(null::interventions, $1::jsonb)
ON CONFLICT DO NOTHING
"""
# Everything that changes after planning. A claim is fenced by its number: see `save_if_claimed`.
_CHANGES = """
SET state = changed.state, reason = changed.reason, due_at = changed.due_at, rule = changed.rule,
    claims = changed.claims, attempts = changed.attempts, message_id = changed.message_id,
    sent_at = changed.sent_at, convert_until = changed.convert_until,
    converted_at = changed.converted_at, value = changed.value, currency = changed.currency
"""
_SAVE = f"""
UPDATE interventions {_CHANGES},
    leased_until = CASE WHEN changed.state = 'sending' THEN clock_timestamp() + $2 END
FROM jsonb_populate_recordset(null::interventions, $1::jsonb) AS changed
WHERE interventions.intervention_id = changed.intervention_id
"""
_SAVE_IF_CLAIMED = f"""
UPDATE interventions {_CHANGES}, leased_until = given.leased_until
FROM jsonb_populate_recordset(null::interventions, $1::jsonb) AS changed
JOIN unnest($2::text[], $3::timestamptz[]) AS given (intervention_id, leased_until)
  ON given.intervention_id = changed.intervention_id
WHERE interventions.intervention_id = changed.intervention_id
  AND interventions.state = 'sending' AND interventions.claims = changed.claims
RETURNING interventions.intervention_id, interventions.customer_id
"""
_ADDRESS = """
UPDATE interventions SET addressee_id = given.addressee_id
FROM unnest($1::text[], $2::text[]) AS given (intervention_id, addressee_id)
WHERE interventions.intervention_id = given.intervention_id
"""
_CONVERT = """
UPDATE interventions
SET converted_at = given.converted_at, value = given.value, currency = given.currency
FROM unnest($1::text[], $2::timestamptz[], $3::numeric[], $4::text[])
  AS given (intervention_id, converted_at, value, currency)
WHERE interventions.intervention_id = given.intervention_id
  AND state = 'sent' AND interventions.converted_at IS NULL
"""
_DUE = """
SELECT customer_id FROM interventions
WHERE state IN ('planned', 'held', 'sending')
  AND ((state <> 'sending' AND due_at <= $1)
       OR (state = 'sending' AND leased_until <= clock_timestamp()))
ORDER BY due_at, intervention_id LIMIT $2
"""
_DUE_OF = """
SELECT * FROM interventions
WHERE customer_id = ANY($2::text[]) AND state IN ('planned', 'held', 'sending')
  AND ((state <> 'sending' AND due_at <= $1)
       OR (state = 'sending' AND leased_until <= clock_timestamp()))
ORDER BY due_at, intervention_id LIMIT $3 FOR UPDATE
"""
_BY_ID = "SELECT * FROM interventions WHERE intervention_id = ANY($1::text[])"
_PENDING = """
SELECT * FROM interventions
WHERE enrolment_id = ANY($1::text[]) AND customer_id = ANY($2::text[])
  AND state IN ('awaiting', 'planned', 'held') ORDER BY due_at, intervention_id FOR UPDATE
"""
_CONTACTS = """
SELECT customer_id, intervention_id, channel, sent_at FROM interventions
WHERE customer_id = ANY($1::text[]) AND state IN ('sending', 'sent') AND sent_at > $2
"""
_TOUCHES = """
SELECT * FROM interventions
WHERE customer_id = ANY($1::text[]) AND state = 'sent' AND convert_until >= $2
"""
_NOW = "SELECT clock_timestamp()"
_LIST = """
SELECT * FROM interventions
WHERE (planned_at, intervention_id) < ($1, $2)
  AND ($3::text IS NULL OR state = $3) AND ($4::text IS NULL OR journey = $4)
  AND ($5::text[] IS NULL OR customer_id = ANY($5))
ORDER BY planned_at DESC, intervention_id DESC LIMIT $6
"""

_SAVE_ORDERS = """
INSERT INTO orders (customer_id, order_id, source, event_id, ordered_at, total, currency)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[],
    $6::numeric[], $7::text[]
) ON CONFLICT DO NOTHING RETURNING source, event_id
"""
_OPEN_ORDERS = """
SELECT customer_id, order_id, source, event_id, ordered_at AS at, total, currency FROM orders
WHERE customer_id = ANY($1::text[]) AND ordered_at > $2 AND NOT credited
ORDER BY ordered_at, order_id
"""
_CREDIT = """
UPDATE orders SET credited = true FROM unnest($1::text[], $2::text[]) AS done (customer, name)
WHERE customer_id = done.customer AND order_id = done.name
"""
_FORGET_ORDERS = """
DELETE FROM orders WHERE ctid IN (SELECT ctid FROM orders WHERE ordered_at < $1 LIMIT $2)
"""


async def plan(driver: Driver, planned: Sequence[Intervention]) -> None:
    """Inserts; one whose key exists already is not planned again."""
    if planned:
        await driver.execute(_PLAN, as_json(planned))


async def save(driver: Driver, changed: Sequence[Intervention], lease: timedelta) -> None:
    """Writes what became of them; those being sent are leased for so long."""
    if changed:
        await driver.execute(_SAVE, as_json(changed), lease)


async def address(driver: Driver, addressees: Mapping[str, str]) -> None:
    """Remembers whose address messages go to, by intervention."""
    if addressees:
        await driver.execute(_ADDRESS, list(addressees), list(addressees.values()))


async def save_if_claimed(
    driver: Driver, changed: Sequence[tuple[Intervention, datetime | None]]
) -> dict[str, str]:
    """Records outcomes of claims that are still ours, with the instant until which each stays
    leased; answers the customer's present id of those."""
    rows = await driver.fetch(
        _SAVE_IF_CLAIMED,
        as_json([one for one, _ in changed]),
        [one.intervention_id for one, _ in changed],
        [until for _, until in changed],
    )
    return {row["intervention_id"]: row["customer_id"] for row in rows}


async def save_conversions(driver: Driver, won: Sequence[Intervention]) -> None:
    """Writes successes found while the sending was being recorded."""
    if won:
        await driver.execute(
            _CONVERT,
            [one.intervention_id for one in won],
            [one.converted_at for one in won],
            [one.value for one in won],
            [one.currency for one in won],
        )


async def due_customers(driver: Driver, now: datetime, limit: int) -> list[str]:
    """Customers with something to send, the longest due first."""
    return [row["customer_id"] for row in await driver.fetch(_DUE, now, limit)]


async def due_of(
    driver: Driver, ids: Collection[str], now: datetime, limit: int
) -> list[Intervention]:
    """What is due for them, or was claimed by somebody who has not come back."""
    return _interventions(await driver.fetch(_DUE_OF, now, list(ids), limit))


async def by_id(driver: Driver, ids: Collection[str]) -> dict[str, Intervention]:
    found = _interventions(await driver.fetch(_BY_ID, list(ids)))
    return {one.intervention_id: one for one in found}


async def pending_of(
    driver: Driver, enrolments: Collection[str], ids: Collection[str]
) -> list[Intervention]:
    """What these enrolments have planned and not begun to send."""
    return _interventions(await driver.fetch(_PENDING, list(enrolments), list(ids)))


async def contacts_of(
    driver: Driver, ids: Collection[str], since: datetime
) -> dict[str, dict[str, Contact]]:
    """Messages that went out or are on their way: per customer, by intervention."""
    found: dict[str, dict[str, Contact]] = {}
    for row in await driver.fetch(_CONTACTS, list(ids), since):
        contact = Contact(row["channel"], row["sent_at"])
        found.setdefault(row["customer_id"], {})[row["intervention_id"]] = contact
    return found


async def touches_of(driver: Driver, ids: Collection[str], since: datetime) -> list[Intervention]:
    """Sent ones whose window was open at `since` or later."""
    return _interventions(await driver.fetch(_TOUCHES, list(ids), since))


async def database_now(driver: Driver) -> datetime:
    """The database's wall clock: what leases and retries are measured by."""
    now: datetime = await driver.fetchval(_NOW)
    return now


async def listed(
    driver: Driver,
    before: tuple[datetime, str],
    *,
    state: str | None,
    journey: str | None,
    ids: Collection[str] | None,
    limit: int,
) -> list[Intervention]:
    """The newest first, before a position."""
    rows = await driver.fetch(
        _LIST, *before, state, journey, list(ids) if ids is not None else None, limit
    )
    return _interventions(rows)


async def save_orders(driver: Driver, orders: Sequence[Order]) -> set[tuple[str, str]]:
    """Remembers orders; answers the events that told of new ones, the same order counting once."""
    rows = await driver.fetch(
        _SAVE_ORDERS,
        [one.customer_id for one in orders],
        [one.order_id for one in orders],
        [one.source for one in orders],
        [one.event_id for one in orders],
        [one.at for one in orders],
        [one.total for one in orders],
        [one.currency for one in orders],
    )
    return {(row["source"], row["event_id"]) for row in rows}


async def open_orders(driver: Driver, ids: Collection[str], since: datetime) -> list[Order]:
    """Orders after `since` that no intervention has been credited with."""
    rows = await driver.fetch(_OPEN_ORDERS, list(ids), since)
    return [value_of(Order, row) for row in rows]


async def credit(driver: Driver, orders: Iterable[Order]) -> None:
    """Marks orders as somebody's success."""
    done = list(orders)
    if done:
        await driver.execute(
            _CREDIT, [one.customer_id for one in done], [one.order_id for one in done]
        )


async def forget_orders(driver: Driver, before: datetime, rows_max: int) -> bool:
    """Drops old orders, some at a time; True when there may be more."""
    done = await driver.execute(_FORGET_ORDERS, before, rows_max)
    return bool(done == f"DELETE {rows_max}")


def _interventions(rows: Sequence[Any]) -> list[Intervention]:
    return [value_of(Intervention, row) for row in rows]
