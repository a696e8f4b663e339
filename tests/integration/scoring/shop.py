"""A small shop's history, made from a seed: many customers, orders, refunds, texts, merges."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.events.commerce import OrderCancelled, OrderCompleted, OrderRefunded, PaymentFailed
from shared.events.engagement import (
    CustomerMerged,
    MessageClicked,
    MessageOpened,
    ReviewSubmitted,
    SessionStarted,
    SurveyAnswered,
)
from shared.events.envelope import Event
from shared.events.support import TicketOpened, TicketResolved
from shared.testing.builders import event

START = datetime(2025, 1, 1, tzinfo=UTC)
TEXTS = ("I love it, thank you!", "Broken again. Terrible.", "Where is my parcel?")


def history(seed: int, customers: int, days: int = 500) -> list[Event]:
    """Events of all customers in time order."""
    dice = random.Random(seed)
    events: list[Event] = []
    for number in range(customers):
        events += _customer(dice, f"c-{number}", days)
    return sorted(events, key=lambda one: (one.time, one.id))


def _customer(dice: random.Random, customer: str, days: int) -> list[Event]:
    gap = dice.choice([7, 30, 90, 400])
    at = START + timedelta(days=dice.uniform(0, days / 2))
    events: list[Event] = []
    number = 0
    while at < START + timedelta(days=days):
        number += 1
        events += _visit(dice, customer, number, at)
        if dice.random() < 0.08:
            break
        at += timedelta(days=dice.expovariate(1 / gap), minutes=1)
    if dice.random() < 0.3:
        events += _guest(dice, customer, at + timedelta(days=1))
    return events


def _visit(dice: random.Random, customer: str, number: int, at: datetime) -> list[Event]:
    order = f"{customer}-o{number}"
    told: dict[str, Any] = {"customer": customer}
    events: list[Event] = [
        event(SessionStarted, at=at - timedelta(minutes=9), **told),
        event(OrderCompleted, order_id=order, total=f"{dice.uniform(1, 200):.2f}", at=at, **told),
    ]
    later = at + timedelta(days=dice.uniform(1, 20))
    choice = dice.random()
    if choice < 0.1:
        events.append(event(OrderRefunded, order_id=order, amount="5.00", at=later, **told))
    elif choice < 0.15:
        events.append(event(OrderCancelled, order_id=order, at=later, **told))
    elif choice < 0.3:
        events.append(event(TicketOpened, text=dice.choice(TEXTS), at=later, **told))
        events.append(event(TicketResolved, satisfaction=dice.randint(1, 5), at=later, **told))
    elif choice < 0.5:
        events.append(event(MessageOpened, machine=choice < 0.4, at=later, **told))
        events.append(event(MessageClicked, at=later, **told))
    elif choice < 0.6:
        events.append(event(ReviewSubmitted, rating=dice.randint(1, 5), at=later, **told))
        events.append(event(SurveyAnswered, score=dice.randint(0, 10), at=later, **told))
    elif choice < 0.65:
        events.append(event(PaymentFailed, at=later, **told))
    return events


def _guest(dice: random.Random, customer: str, at: datetime) -> list[Event]:
    """An order as a guest, then the guest turns out to be the customer."""
    guest = f"guest-{customer}"
    order = {"order_id": f"{guest}-o1", "total": f"{dice.uniform(1, 200):.2f}"}
    merged = {"survivor_id": customer, "reason": "both ids in one event"}
    return [
        event(OrderCompleted, customer=guest, at=at, **order),
        event(CustomerMerged, customer=guest, at=at + timedelta(days=2), **merged),
        event(SessionStarted, customer=customer, alias=guest, at=at + timedelta(days=3)),
    ]
