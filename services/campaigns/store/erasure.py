"""Takes a person out of every table: personal data is deleted, what is counted loses its name."""

from collections.abc import Sequence
from datetime import datetime

from services.campaigns.store.people import digest
from services.campaigns.store.rows import Driver

_DELETE = (
    "DELETE FROM traits WHERE customer_id = $1",
    "DELETE FROM consents WHERE customer_id = $1",
    "DELETE FROM orders WHERE customer_id = $1",
    "DELETE FROM customers WHERE customer_id = $1",
)
_KEEP_COPIES = """
INSERT INTO mail_to_forget SELECT message_id FROM interventions
WHERE (customer_id = $1 OR addressee_id = $1) AND message_id IS NOT NULL ON CONFLICT DO NOTHING
"""
_ANONYMISE = (
    """
    UPDATE interventions SET customer_id = $2, reason = 'erased', title = NULL,
        state = CASE WHEN state IN ('awaiting', 'planned', 'held', 'sending') THEN 'suppressed'
                ELSE state END,
        rule = CASE WHEN state IN ('awaiting', 'planned', 'held', 'sending') THEN 'erased'
               ELSE rule END
    WHERE customer_id = $1
    """,
    "UPDATE interventions SET addressee_id = $2 WHERE addressee_id = $1",
    """
    UPDATE enrolments SET customer_id = $2, facts = '{}', reason = 'erased', wake_at = NULL,
        state = CASE WHEN state = 'active' THEN 'left' ELSE state END,
        left_at = coalesce(left_at, $3)
    WHERE customer_id = $1
    """,
    """
    UPDATE tasks SET customer_id = $2, title = 'erased', reason = 'erased', assignee = 'erased',
        outcome = NULL, state = 'done', done_at = coalesce(done_at, $3)
    WHERE customer_id = $1
    """,
    "UPDATE decisions SET customer_id = $2, reason = 'erased' WHERE customer_id = $1",
)
_REMEMBER = """
INSERT INTO erased (customer_digest, erased_at) VALUES ($1, $2)
ON CONFLICT (customer_digest) DO UPDATE
SET erased_at = greatest(erased.erased_at, excluded.erased_at)
"""
_TO_FORGET = "SELECT message_id FROM mail_to_forget ORDER BY message_id LIMIT $1"
_FORGOTTEN = "DELETE FROM mail_to_forget WHERE message_id = ANY($1::text[])"


async def erase(driver: Driver, customer: str, tombstone: str, at: datetime) -> None:
    """Erases one id; `tombstone` takes its place where rows stay."""
    await driver.execute(_KEEP_COPIES, customer)
    for statement in _ANONYMISE:
        arguments = (customer, tombstone, at) if "$3" in statement else (customer, tombstone)
        await driver.execute(statement, *arguments)
    for statement in _DELETE:
        await driver.execute(statement, customer)
    await driver.execute(_REMEMBER, digest(customer), at)


async def mail_to_forget(driver: Driver, limit: int) -> Sequence[str]:
    """Messages of erased people that providers may keep a copy of."""
    return [row["message_id"] for row in await driver.fetch(_TO_FORGET, limit)]


async def forgotten(driver: Driver, messages: Sequence[str]) -> None:
    await driver.execute(_FORGOTTEN, list(messages))
