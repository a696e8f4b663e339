"""Merged, unmerged, erased: who is who, and who must be forgotten."""

from datetime import datetime

from services.campaigns.domain.person import TOMBSTONE_PREFIX
from services.campaigns.handlers.equipment import Tools
from services.campaigns.store import erasure, people
from shared.events.engagement import CustomerErased, CustomerMerged, CustomerUnmerged
from shared.ids import derived_id
from shared.runtime.db import Transaction
from shared.runtime.service import Context

_FORGET_MESSAGES = 200


async def change(
    tx: Transaction, event: CustomerMerged | CustomerUnmerged | CustomerErased
) -> None:
    """One change of identity. State stays with each original id, so a merge can be undone."""
    if isinstance(event, CustomerErased):
        persons = await people.lock(tx.driver, [event.subject])
        for one in persons[event.subject].ids:
            await _erase(tx, one, event.data.erasure_id, event.time)
    elif isinstance(event, CustomerMerged):
        await _merge(tx, event)
    else:
        await people.lock(tx.driver, [event.subject, event.data.survivor_id])
        await people.unlink(tx.driver, event.subject)


async def _merge(tx: Transaction, event: CustomerMerged) -> None:
    """Whoever merges into an erased person is erased too: the erasure may overtake the merge."""
    absorbed, survivor = event.subject, event.data.survivor_id
    if absorbed == survivor:
        return
    gone = await people.erased_at(tx.driver, [absorbed, survivor])
    if survivor in gone and event.time <= gone[survivor]:
        await people.lock(tx.driver, [absorbed])
        await _erase(tx, absorbed, f"with:{event.id}", gone[survivor])
        return
    await people.lock(tx.driver, [absorbed, survivor])
    await people.link(tx.driver, absorbed, survivor)


async def _erase(tx: Transaction, customer: str, erasure_id: str, at: datetime) -> None:
    tombstone = f"{TOMBSTONE_PREFIX}{derived_id(erasure_id, customer)}"
    await erasure.erase(tx.driver, customer, tombstone, at)


async def forget_mail(context: Context, _now: datetime) -> bool:
    """Removes the copies that providers keep of messages to people who were erased."""
    tools: Tools = context.resources
    async with context.read() as session:
        messages = await erasure.mail_to_forget(session.driver, _FORGET_MESSAGES)
    for message in messages:
        await tools.provider.forget(message)
    if messages:
        async with context.transaction() as tx:
            await erasure.forgotten(tx.driver, messages)
    return len(messages) == _FORGET_MESSAGES
