"""What an operator asks and decides about people, and what was told of it."""

from typing import Any

from shared.events.engagement import CustomerMerged, CustomerUnmerged, PageViewed
from shared.testing.harness import Running


async def ask(service: Running, path: str, **params: Any) -> Any:
    reply = await service.client.get(f"/v1{path}", params=params, headers=service.key("read"))
    assert reply.status_code == 200, reply.text
    return reply.json()


async def do(service: Running, path: str, expected: int = 200, **body: Any) -> Any:
    reply = await service.client.post(f"/v1{path}", json=body, headers=service.key("operate"))
    assert reply.status_code == expected, reply.text
    await service.settle()
    return reply.json()


async def person(service: Running, name: str) -> tuple[str, list[str]]:
    found = await ask(service, f"/customers/{name}/identity")
    return found["customer_id"], [one["id"] for one in found["ids"]]


def told(service: Running) -> list[tuple[str, str, str]]:
    """(what, id, whom) of each id, in the order in which it was told."""
    moves: list[Any] = service.published(CustomerMerged, CustomerUnmerged)
    return [
        (one.type.removeprefix("customer."), one.subject, one.data.survivor_id) for one in moves
    ]


def subjects(service: Running) -> dict[str, tuple[str, str | None]]:
    """Under which id each visit left, and which it had named."""
    return {str(one.id): (one.subject, one.alias) for one in service.published(PageViewed)}
