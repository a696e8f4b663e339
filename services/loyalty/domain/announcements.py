"""The events that tell of entries and tiers. Their ids follow from the entry or the move."""

from datetime import datetime

from services.loyalty.domain.accounts import Entry, EntryKind
from services.loyalty.domain.tiers import Move
from shared.events.envelope import Event
from shared.events.loyalty import (
    PointsAwarded,
    PointsData,
    PointsExpired,
    PointsRedeemed,
    PointsReleased,
    PointsReversed,
    TierChanged,
    TierChangedData,
)
from shared.ids import CustomerId, EventId, derived_event_id

SOURCE = "/loyalty"
_REASON_CHARACTERS_MAX = 1_000

PointsEvent = (
    type[PointsAwarded]
    | type[PointsReversed]
    | type[PointsRedeemed]
    | type[PointsReleased]
    | type[PointsExpired]
)
# A reservation is a promise between the shop and the ledger: nobody is told until it is kept.
_CLASSES: dict[EntryKind, PointsEvent] = {
    "award": PointsAwarded,
    "reversal": PointsReversed,
    "redeem": PointsRedeemed,
    "capture": PointsRedeemed,
    "release": PointsReleased,
    "expiry": PointsExpired,
}
# Looked up once: asking a pydantic class for its fields costs more than making the event.
_TYPE_NAMES = {kind: event.type_name() for kind, event in _CLASSES.items()}


def _points(entry: Entry) -> int:
    """How many points an entry is about, counted positive."""
    moved = entry.postings
    return {
        "award": -moved.issued,
        "reversal": moved.issued,
        "redeem": moved.redeemed,
        "capture": moved.redeemed,
        "release": -moved.reserved,
        "expiry": moved.expired,
    }.get(entry.kind, 0)


def announce_entry(
    entry: Entry,
    *,
    subject: CustomerId,
    balance: int,
    cause: str,
    recorded_at: datetime,
    expires_at: datetime | None = None,
) -> Event | None:
    """The event of an entry, or None for one that stays inside. `balance` is the person's.

    Whoever counts points keeps them with the id that they were booked on, as the ledger does.
    """
    kind = _CLASSES.get(entry.kind)
    if kind is None:
        return None
    data = PointsData(
        entry_id=entry.id,
        points=_points(entry),
        balance=balance,
        reason=entry.why.reason[:_REASON_CHARACTERS_MAX],
        rule=entry.why.rule,
        order_id=entry.why.order_id,
        lot_id=entry.lot_id,
        reverses=entry.reverses,
        expires_at=expires_at,
    )
    return kind(
        id=derived_event_id(entry.id, _TYPE_NAMES[entry.kind]),
        source=SOURCE,
        subject=subject,
        time=entry.why.occurred_at,
        recordedtime=recorded_at,
        cause=EventId(cause),
        alias=entry.customer_id if entry.customer_id != subject else None,
        data=data,
    )


def announce_move(
    move: Move,
    *,
    subject: CustomerId,
    key: str,
    cause: str,
    recorded_at: datetime,
) -> TierChanged:
    """The event of a change of tier. `key` is what its id follows from."""
    return TierChanged(
        id=derived_event_id(key, TierChanged.type_name()),
        source=SOURCE,
        subject=subject,
        time=move.at,
        recordedtime=recorded_at,
        cause=EventId(cause),
        data=TierChangedData(
            previous=move.previous,
            current=move.current,
            qualifying_points=move.points,
            reason=move.reason,
        ),
    )
