"""What comes on `ingest.events`, in the order of the log.

Changes of identity are rare and touch everything, so a batch is cut at them: what lies between is
handled together, as if the borders of batches had fallen there.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby

from services.campaigns.domain.person import original
from services.campaigns.handlers import identity, orders, profile
from services.campaigns.store import people
from shared.events.commerce import OrderCompleted
from shared.events.engagement import CustomerErased, CustomerMerged, CustomerUnmerged
from shared.events.envelope import Event
from shared.events.loyalty import TierChanged
from shared.runtime.db import Transaction

_IDENTITY = (CustomerMerged, CustomerUnmerged, CustomerErased)


async def apply(
    tx: Transaction,
    events: Sequence[Event],
    *,
    now: datetime,  # noqa: ARG001 — events are judged as of their own instant
) -> None:
    """Traits, consent, orders and identity."""
    for is_identity, stretch in groupby(events, lambda one: isinstance(one, _IDENTITY)):
        if is_identity:
            for event in stretch:
                await identity.change(tx, event)  # type: ignore[arg-type]  # as the key says
        else:
            await _between(tx, list(stretch))


async def _between(tx: Transaction, events: Sequence[Event]) -> None:
    """Orders and statements of one stretch do not depend on each other.

    What was said or done before a person was erased, and comes after it, is not kept.
    """
    gone = await people.erased_at(
        tx.driver, {each for one in events for each in (one.subject, original(one))}
    )
    events = [one for one in events if not _is_gone(one, gone)]
    aliases = {str(one.alias): str(one.subject) for one in events if one.alias is not None}
    if aliases:
        await people.presume(tx.driver, aliases)
    bought = [one for one in events if isinstance(one, OrderCompleted)]
    told = [one for one in events if not isinstance(one, OrderCompleted)]
    if told:
        await profile.learn_about(tx, told)  # type: ignore[arg-type]  # as subscribed
    if bought:
        await orders.take(tx, bought)


def _is_gone(event: Event, gone: Mapping[str, datetime]) -> bool:
    return any(one in gone and event.time <= gone[one] for one in (event.subject, original(event)))


async def note_tier(
    tx: Transaction,
    events: Sequence[TierChanged],
    *,
    now: datetime,  # noqa: ARG001 — events are judged as of their own instant
) -> None:
    """The loyalty tier, for templates and operators."""
    await _between(tx, events)
