"""Tells everybody who belongs to whom from now on."""

from collections.abc import Mapping, Sequence
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

    The ids of the events follow from `key`, which stands for the cause. Who leaves is told with
    whom it joins, and whether whom it leaves comes along: nobody need take it to be alone between.
    """
    leads_to = {move.id: move.joined or move.id for move in moves}
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
                    data=_parting(move.left, move, leads_to),
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


def _parting(left: str, move: Move, leads_to: Mapping[str, str]) -> CustomerUnmergedData:
    now = leads_to[move.id]
    return CustomerUnmergedData(
        survivor_id=CustomerId(left),
        reason=move.why,
        joins=CustomerId(now) if now != move.id else None,
        together=True if leads_to.get(left, left) == now else None,
    )
