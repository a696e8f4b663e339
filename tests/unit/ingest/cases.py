"""Events as a shop posts them, for the tests of the door."""

import json
from datetime import UTC, datetime
from itertools import count
from typing import Any

from services.ingest.domain.verdict import Limits, Verdicts, judge

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def order(**given: Any) -> dict[str, Any]:
    data = {
        "order_id": "o-1",
        "total": "12.99",
        "currency": "GBP",
        "items": [{"sku": "A", "quantity": 1, "unit_price": "12.99"}],
    } | given.pop("data", {})
    return {"id": "e-1", "type": "order.completed", "customer_id": "c-1", "data": data, **given}


def custom(**properties: Any) -> dict[str, Any]:
    return {"id": "e-1", "type": "custom.thing", "customer_id": "c-1", "data": properties}


def judged(body: Any, limits: Limits | None = None) -> Verdicts:
    """The verdicts on a body, given as bytes, text or a value."""
    if not isinstance(body, bytes | str):
        body = json.dumps(body)
    content = body if isinstance(body, bytes) else body.encode()
    serial = count(1)
    return judge(content, limits or Limits(), NOON, lambda: f"made-{next(serial)}")


def flaws(body: Any, limits: Limits | None = None) -> list[tuple[str, str]]:
    """(path, message) of everything that was refused."""
    return [
        (error["path"], error["message"])
        for one in judged(body, limits).rejected
        for error in one.errors
    ]


def paths(body: Any, limits: Limits | None = None) -> list[str]:
    return [path for path, _ in flaws(body, limits)]
