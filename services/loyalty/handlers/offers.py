"""Keeps what interventions promised: points, once the message has been sent."""

from collections.abc import Sequence
from datetime import datetime

from services.loyalty.domain.program import Program, offered_by
from services.loyalty.handlers.opening import happening_of, open_books
from services.loyalty.store import saving
from shared.events.campaigns import InterventionSent
from shared.runtime.db import Transaction


async def honour(tx: Transaction, events: Sequence[InterventionSent], *, now: datetime) -> None:
    """Awards the points of offers in `LOYALTY_OFFERS`; other interventions promise none."""
    del now  # every event is judged as of its own instant, wherever its batch ends
    program: Program = tx.resources.program
    told = [
        (event, happening_of(tx, event), offer)
        for event in events
        if (offer := offered_by(program.offers, event)) is not None
    ]
    if not told:
        return
    instants = [happening.at for _, happening, _ in told]
    books = await open_books(
        tx.driver,
        program,
        [],
        opening={happening.original for _, happening, _ in told},
        at=max(instants),
        earliest=min(instants),
    )
    for event, happening, offer in told:
        books.catch_up(happening.original, happening.at)
        why = happening.why(f"offer of journey {event.data.journey}", rule=offer.offer)
        books.award(happening, offer.points, why, qualifying=offer.qualifying)
    await saving.save_books(tx.driver, books)
    tx.publish_all(books.events)
