"""Calls as Segment's clients send them, and sending them."""

import base64
import json
from typing import Any

from shared.testing.harness import Running

ORIGIN = "https://shop.example"


def track(message_id: str = "m-1", **given: Any) -> dict[str, Any]:
    return {"type": "track", "messageId": message_id, "userId": "c-1", "event": "Lamp Lit", **given}


def order(message_id: str = "m-1", **properties: Any) -> dict[str, Any]:
    told = {"order_id": "o-1", "revenue": 12.99, "currency": "GBP", **properties}
    return track(message_id, event="Order Completed", properties=told)


def key_of(service: Running, scope: Any = "ingest") -> str:
    return service.key(scope)["Authorization"].removeprefix("Bearer ")


def basic(key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(key.encode()).decode()}


async def post(service: Running, path: str, body: Any, **headers: str) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await service.client.post(path, content=content, headers=headers)


async def send(service: Running, body: Any, path: str = "/v1/batch", **headers: str) -> Any:
    """Posts with the key as Basic."""
    return await post(service, path, body, **(basic(key_of(service) + ":") | headers))
