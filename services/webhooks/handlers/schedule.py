"""From events to deliveries: one for each endpoint that wants the event, whoever sends it twice.

`sequence` rises strictly with every message of a customer, in the order in which this service came
to know the events, whatever topic they travelled on; a receiver that keeps the highest one it saw
can drop what is older. It has gaps for an endpoint that does not want every type.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from services.webhooks.domain.interest import Directory
from services.webhooks.domain.message import body_of, delivery_id, message_id
from services.webhooks.handlers.means import Means
from services.webhooks.handlers.timing import wall_time
from services.webhooks.store import endpoints, messages
from services.webhooks.store.messages import NewMessage
from shared.events.engagement import CustomerErased
from shared.events.envelope import Event
from shared.ids import EndpointId
from shared.runtime.db import Transaction


async def schedule(tx: Transaction, events: Sequence[Event], *, now: datetime) -> None:
    """Stores messages and deliveries, then empties those of erased customers."""
    now = wall_time(tx.clock, now)
    means: Means = tx.resources
    directory = Directory(await endpoints.interests(tx.driver, now - means.disabled_queue))
    wanted = [(event, directory.wanting(event.type, event.subject)) for event in events]
    numbered = await _number(tx, [one for one in wanted if one[1] or _erases(one[0])])
    told = [_message(event, to, sequence) for event, to, sequence in numbered if to]
    if told:
        await messages.insert(tx.driver, told, now)
    erased = {str(event.subject): number for event, _, number in numbered if _erases(event)}
    if erased:
        await messages.expunge(tx.driver, erased, now)


def _erases(event: Event) -> bool:
    return isinstance(event, CustomerErased)


async def _number(
    tx: Transaction, wanted: Sequence[tuple[Event, tuple[EndpointId, ...]]]
) -> Sequence[tuple[Event, tuple[EndpointId, ...], int]]:
    """Gives each event the next number of its subject, in order. An erasure takes one too: what
    has a lower number is what it erases."""
    if not wanted:
        return ()
    counts = Counter[str](event.subject for event, _ in wanted)
    following = await messages.take_sequences(tx.driver, counts)
    numbered: list[tuple[Event, tuple[EndpointId, ...], int]] = []
    for event, to in wanted:
        numbered.append((event, to, following[event.subject]))
        following[event.subject] += 1
    return numbered


def _message(event: Event, to: tuple[EndpointId, ...], sequence: int) -> NewMessage:
    identity = message_id(event)
    return NewMessage(
        id=identity,
        event_id=event.id,
        event_type=event.type,
        subject=event.subject,
        sequence=sequence,
        body=body_of(event, sequence),
        deliveries=tuple((delivery_id(identity, endpoint), endpoint) for endpoint in to),
    )
