"""The smallest service: counts orders per customer and publishes one event for each.

The suites of the runtime run on it, so that what they prove is the runtime's alone.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import ClassVar

import sqlalchemy as sa

from shared.events.commerce import OrderCompleted
from shared.events.loyalty import PointsAwarded, PointsData
from shared.events.topics import EVENTS
from shared.runtime.db import Transaction
from shared.runtime.service import On, Service, Subscription
from shared.runtime.settings import RuntimeSettings, service_config

METADATA = sa.MetaData()
COUNTS = sa.Table(
    "counts",
    METADATA,
    sa.Column("customer_id", sa.Text, primary_key=True),
    sa.Column("orders", sa.BigInteger, nullable=False),
    sa.Column("seen", sa.ARRAY(sa.Text), nullable=False, server_default="{}"),
)
POISON = "poison"


class CountingSettings(RuntimeSettings):
    """Only what the runtime has."""

    model_config = service_config("loyalty")
    SERVICE: ClassVar[str] = "loyalty"


async def count(tx: Transaction, events: Sequence[OrderCompleted], *, now: datetime) -> None:
    """Adds one per order; an order for POISON cannot be handled."""
    if any(event.data.order_id.startswith(POISON) for event in events):
        raise ZeroDivisionError("a poisoned order")
    per_customer = Counter(event.subject for event in events)
    order: dict[str, list[str]] = {event.subject: [] for event in events}
    for event in events:
        order[event.subject].append(event.data.order_id)
    for customer in sorted(per_customer):
        await tx.driver.execute(
            "INSERT INTO counts (customer_id, orders, seen) VALUES ($1, $2, $3) "
            "ON CONFLICT (customer_id) DO UPDATE SET orders = counts.orders + $2, "
            "seen = counts.seen || $3",
            customer,
            per_customer[customer],
            order[customer],
        )
    for event in events:
        tx.publish(
            PointsAwarded.caused_by(
                event.id,
                source="/loyalty",
                subject=event.subject,
                time=event.time,
                recordedtime=now,
                data=PointsData(entry_id=event.id, points=1, balance=0, reason="counted"),
            )
        )


def build(settings: CountingSettings | None = None) -> Service:
    return Service(
        name="loyalty",
        settings=settings or CountingSettings(),
        metadata=METADATA,
        migrations=Path(__file__).parent / "counting_migrations",
        subscriptions=(Subscription(EVENTS, (On((OrderCompleted,), count),)),),
    )
