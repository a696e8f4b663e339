"""Takes a person out of the ledger: amounts stay, the id becomes one that leads to nobody."""

from services.loyalty.store import erasing, loading
from shared.ids import CustomerId, random_id
from shared.runtime.db import Transaction


async def erase_customer(tx: Transaction, customer: CustomerId) -> None:
    """Renames every id of the person to a random one and drops what people wrote about them.

    The new ids are kept nowhere, so that nobody can undo it; the links between them go as well.
    """
    people = await loading.people_of(tx.driver, [customer])
    ids = people.ids_of(customer)
    await loading.lock_accounts(tx.driver, ids)
    await erasing.rename(tx.driver, {one: CustomerId(random_id("erased")) for one in ids})
