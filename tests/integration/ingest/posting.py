"""Events as a shop posts them, and posting them."""

import json
from typing import Any

from services.ingest.domain import bundle
from shared.events.topics import RECEIVED
from shared.runtime.log import Record
from shared.testing.builders import NOON
from shared.testing.harness import Running


def order(order_id: str = "o-1", **given: Any) -> dict[str, Any]:
    data = {"order_id": order_id, "total": "12.99", "currency": "GBP"}
    return {"type": "order.completed", "customer_id": "c-1", "data": data, **given}


def visit(**given: Any) -> dict[str, Any]:
    return {"type": "page.viewed", "customer_id": "c-1", "data": {"url": "/"}, **given}


def seen(anonymous: str, customer: str | None = None, **given: Any) -> dict[str, Any]:
    """A visit under an anonymous id, and a customer's when it is told."""
    return visit(customer_id=customer, anonymous_id=anonymous, **given)


async def post(service: Running, body: Any, **headers: str) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await service.client.post(
        "/v1/events",
        content=content,
        headers={"Content-Type": "application/json"} | service.key("ingest") | headers,
    )


async def tell(service: Running, *events: dict[str, Any]) -> None:
    """Posts events one request after the other, and waits until they are admitted."""
    for event in events:
        reply = await post(service, event)
        assert reply.status_code == 202, reply.text
        await service.settle()


def record_of(*events: dict[str, Any]) -> Record:
    """What the door writes of events that it accepted at noon."""
    lines = [json.dumps({k: v for k, v in one.items() if v is not None}).encode() for one in events]
    header = bundle.header_line(
        verdict="accepted",
        source="/sources/k",
        request="req_1",
        received_at=NOON,
        default_at=NOON,
    )
    return Record(RECEIVED.name, 0, 0, b"c-1", bundle.pack(header, lines))
