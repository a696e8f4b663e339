"""The one path on which lines of the ledger change: who they name, when a person is erased."""

from collections.abc import Mapping

from services.loyalty.store.loading import Driver
from shared.ids import CustomerId

# The trigger on the append-only tables lets an erasure pass, in this transaction only.
_ALLOW = "SELECT set_config('loyalty.erasing', $1, true)"
_RENAMES = (
    """
    UPDATE entries SET customer_id = new_id,
        reason = CASE WHEN cause LIKE 'request:%' THEN 'erased' ELSE reason END
    FROM unnest($1::text[], $2::text[]) AS new (old_id, new_id) WHERE customer_id = old_id
    """,
    """
    UPDATE lot_allocations SET customer_id = new_id
    FROM unnest($1::text[], $2::text[]) AS new (old_id, new_id) WHERE customer_id = old_id
    """,
    """
    UPDATE lots SET customer_id = new_id
    FROM unnest($1::text[], $2::text[]) AS new (old_id, new_id) WHERE customer_id = old_id
    """,
    """
    UPDATE orders SET customer_id = new_id
    FROM unnest($1::text[], $2::text[]) AS new (old_id, new_id) WHERE customer_id = old_id
    """,
    """
    UPDATE gestures SET customer_id = new_id
    FROM unnest($1::text[], $2::text[]) AS new (old_id, new_id) WHERE customer_id = old_id
    """,
    """
    UPDATE redemptions SET customer_id = new_id, reason = 'erased'
    FROM unnest($1::text[], $2::text[]) AS new (old_id, new_id) WHERE customer_id = old_id
    """,
    """
    UPDATE accounts SET customer_id = new_id, erased = true, linked_tier = NULL,
        linked_tier_since = NULL, linked_review_at = NULL
    FROM unnest($1::text[], $2::text[]) AS new (old_id, new_id) WHERE customer_id = old_id
    """,
)
_FORGET_ANSWERS = "DELETE FROM answers WHERE customer_id = ANY($1::text[])"
_FORGET_LINKS = """
DELETE FROM links WHERE absorbed_id = ANY($1::text[]) OR survivor_id = ANY($1::text[])
"""


async def rename(driver: Driver, names: Mapping[CustomerId, CustomerId]) -> None:
    """Gives accounts and all that hangs on them new ids, old → new."""
    await driver.execute(_ALLOW, "on")
    for statement in _RENAMES:
        await driver.execute(statement, list(names), list(names.values()))
    await driver.execute(_ALLOW, "off")
    await driver.execute(_FORGET_ANSWERS, list(names))
    await driver.execute(_FORGET_LINKS, list(names))
