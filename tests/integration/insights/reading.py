"""Asking for the overview."""

from typing import Any

from shared.testing.harness import Running

MARCH = {"from": "2026-03-01", "to": "2026-04-01"}


async def overview(service: Running, **query: str) -> dict[str, Any]:
    reply = await service.client.get(
        "/v1/metrics/overview", params=query, headers=service.key("read")
    )
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found
