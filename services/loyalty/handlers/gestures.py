"""Answers a customer's rising risk with points, as the program's rules say."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from services.loyalty.domain.books import Books, Happening
from services.loyalty.domain.program import Gesture, Program, gesture_for
from services.loyalty.handlers.opening import happening_of, open_books
from services.loyalty.store import gestures, saving
from services.loyalty.store.gestures import Given
from shared.events.scoring import ThresholdCrossed
from shared.runtime.db import Transaction


async def give(tx: Transaction, events: Sequence[ThresholdCrossed], *, now: datetime) -> None:
    """At most one gesture of a rule within its days for one person, whatever crosses how often."""
    del now  # every event is judged as of its own instant, wherever its batch ends
    program: Program = tx.resources.program
    told = [(one, happening_of(tx, one)) for one in events]
    told = [pair for pair in told if _could_give(program, pair[0])]
    if not told:
        return
    books = await open_books(
        tx.driver,
        program,
        [],
        opening={happening.original for _, happening in told},
        at=max(happening.at for _, happening in told),
        earliest=min(happening.at for _, happening in told),
    )
    given = await gestures.load(tx.driver, books.accounts)
    for event, happening in told:
        _decide(books, given, event, happening)
    await gestures.save(tx.driver, given)
    await saving.save_books(tx.driver, books)
    tx.publish_all(books.events)


def _could_give(program: Program, event: ThresholdCrossed) -> bool:
    """Whether some rule looks at such a crossing, before the customer is known."""
    return any(gesture_for([rule], event, tier) for rule in program.gestures for tier in _any(rule))


def _any(rule: Gesture) -> tuple[str, ...]:
    return rule.tiers or ("any",)


def _decide(books: Books, given: Given, event: ThresholdCrossed, happening: Happening) -> None:
    customer = happening.original
    books.catch_up(customer, happening.at)
    rule = gesture_for(books.program.gestures, event, books.tier_of(customer))
    if rule is None:
        return
    since = event.time - timedelta(days=rule.once_per_days)
    if any(_was_given(given.get((one, rule.name)), since) for one in books.people.ids_of(customer)):
        return
    risk = f"{event.data.churn_risk:.0%} ({event.data.churn_band})"
    why = happening.why(f"retention gesture: risk of leaving went up to {risk}", rule=rule.name)
    books.award(happening, rule.points, why, qualifying=rule.qualifying)
    given[customer, rule.name] = event.time


def _was_given(given_at: datetime | None, since: datetime) -> bool:
    return given_at is not None and given_at > since
