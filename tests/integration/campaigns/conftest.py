"""What the tests of campaigns share: crossings, customers with consent, and the mail that left."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from services.campaigns.main import build
from shared.clock import ManualClock
from shared.events.engagement import CustomerUpdated
from shared.events.scoring import ThresholdCrossed
from shared.testing.builders import NOON, event
from shared.testing.harness import Running, running

Start = Callable[..., AbstractAsyncContextManager[Running]]

CROSSING: dict[str, Any] = {
    "threshold": "churn_risk.high",
    "metric": "churn_risk",
    "direction": "up",
    "value": 0.72,
    "level": 0.7,
    "churn_risk": 0.72,
    "churn_band": "high",
    "clv_historic": "500",
    "clv_predicted_12m": "800",
    "clv_tier": "high",
    "currency": "GBP",
    "segment": "loyal",
    "lifecycle": "active",
}


def crossed(customer: str = "c-1", at: datetime = NOON, **given: Any) -> ThresholdCrossed:
    """A valuable customer rises into high risk."""
    return event(ThresholdCrossed, customer=customer, at=at, **(CROSSING | given))


def joined(
    customer: str = "c-1", at: datetime = NOON, *, consent: bool = True, **traits: Any
) -> CustomerUpdated:
    """A customer with an address who agreed to be contacted for retention."""
    given = {"email": f"{customer}@example.com", "name": "Ann"} | traits
    said = {"email": {"retention": consent}}
    return event(CustomerUpdated, customer=customer, at=at, consent=said, **given)


@pytest.fixture
def start(database_url: str, tmp_path: Path) -> Start:
    """Starts campaigns on a fresh database, at noon, writing mail into the test's folder."""

    def begin(**given: Any) -> AbstractAsyncContextManager[Running]:
        settings = {"data_dir": tmp_path} | given.pop("settings", {})
        clock = given.pop("clock", None) or ManualClock(NOON)
        return running(build, database_url, clock=clock, settings=settings, **given)

    return begin


@pytest.fixture
async def campaigns(start: Start) -> AsyncIterator[Running]:
    async with start() as service:
        yield service


@pytest.fixture
def outbox(tmp_path: Path) -> Callable[[], list[EmailMessage]]:
    """The messages that left, by name of file."""
    return partial(_read, tmp_path / "outbox-mail")


def _read(folder: Path) -> list[EmailMessage]:
    messages = []
    for path in sorted(folder.glob("*.eml")):
        message = message_from_bytes(path.read_bytes(), policy=policy.default)
        assert isinstance(message, EmailMessage)
        messages.append(message)
    return messages


async def decisions(service: Running, customer: str = "c-1") -> list[tuple[str, str]]:
    """What was decided about a customer, the oldest first: (outcome, rule)."""
    reply = await service.client.get(
        f"/v1/customers/{customer}/decisions?limit=500", headers=service.key("read")
    )
    return [(one["outcome"], one["rule"]) for one in reversed(reply.json()["items"])]


async def ready_to_send(service: Running, customers: int = 1) -> None:
    names = [f"c-{number}" for number in range(1, customers + 1)]
    await service.feed(*(joined(name) for name in names))
    await service.feed(*(crossed(name) for name in names))


async def end_leases(service: Running) -> None:
    """As if the time of every claim and retry had come."""
    async with service.context.transaction() as tx:
        await tx.driver.execute(
            "UPDATE interventions SET leased_until = clock_timestamp() WHERE state = 'sending'"
        )


async def states(service: Running) -> list[str]:
    async with service.context.read() as session:
        rows = await session.driver.fetch("SELECT state FROM interventions ORDER BY customer_id")
    return [row["state"] for row in rows]


async def get(service: Running, path: str) -> Any:
    reply = await service.client.get(path, headers=service.key("read"))
    assert reply.status_code == 200, reply.text
    return reply.json()


async def put(service: Running, path: str, body: Any, status: int = 200) -> Any:
    reply = await service.client.put(path, json=body, headers=service.key("admin"))
    assert reply.status_code == status, reply.text
    return reply.json()
