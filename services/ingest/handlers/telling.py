"""Tells everybody who belongs to whom from now on."""

from collections.abc import Sequence
from datetime import datetime

from services.ingest.domain.identity import Move
from shared.events.engagement import (
    CustomerMerged,
    CustomerMergedData,
    CustomerUnmerged,
    CustomerUnmergedData,
)
from shared.ids import CustomerId, EventId, derived_event_id
from shared.runtime.db import Transaction

SOURCE = "/ingest"


def tell(
    tx: Transaction, moves: Sequence[Move], *, key: str, cause: str, recorded_at: datetime
) -> None:
    """Publishes the moves: of each id first whom it leaves, then whom it joins.

    The ids of the events follow from `key`, which stands for the cause.
    """
    for ordinal, move in enumerate(moves):
        if move.left is not None:
            tx.publish(
                CustomerUnmerged(
                    id=derived_event_id(key, CustomerUnmerged.type_name(), ordinal),
                    source=SOURCE,
                    subject=CustomerId(move.id),
                    time=move.at,
                    recordedtime=recorded_at,
                    cause=EventId(cause),
                    data=CustomerUnmergedData(survivor_id=CustomerId(move.left), reason=move.why),
                )
            )
        if move.joined is not None:
            tx.publish(
                CustomerMerged(
                    id=derived_event_id(key, CustomerMerged.type_name(), ordinal),
                    source=SOURCE,
                    subject=CustomerId(move.id),
                    time=move.at,
                    recordedtime=recorded_at,
                    cause=EventId(cause),
                    data=CustomerMergedData(survivor_id=CustomerId(move.joined), reason=move.why),
                )
            )
