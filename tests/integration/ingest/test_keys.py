"""API keys: made, used, rotated, revoked, and never stored."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from services.ingest.handlers import keys as handlers
from services.ingest.main import build
from shared.clock import wall_now
from shared.events.keys import KeyChanged
from shared.testing.harness import Running, running
from tests.integration.ingest.posting import visit


@pytest.fixture
async def service(database_url: str) -> Any:
    async with running(build, database_url) as started:
        started.clock.set(wall_now())  # keys end by wall time, so these tests live in it
        yield started


async def learn(service: Running) -> None:
    """What every service does all the time: follow the topic of keys."""
    await service.settle()
    service.context.keys.apply(service.log.records("ingest.keys"))


async def make(service: Running, **given: Any) -> Any:
    reply = await service.client.post(
        "/v1/keys",
        json={"scopes": ["ingest"], "label": "shop"} | given,
        headers=service.key("admin"),
    )
    assert reply.status_code == 201, reply.text
    await learn(service)
    return reply.json()


async def accepts(service: Running, key: str) -> int:
    reply = await service.client.post(
        "/v1/events", json=visit(), headers={"Authorization": f"Bearer {key}"}
    )
    return int(reply.status_code)


async def test_a_new_key_is_shown_once_and_works(service: Running) -> None:
    made = await make(service)

    _, key_id, secret = made["key"].split("_", 2)
    assert key_id == made["id"]
    assert len(secret) >= 43
    assert await accepts(service, made["key"]) == 202
    listed = await service.client.get("/v1/keys", headers=service.key("admin"))
    assert [one["id"] for one in listed.json()["items"]] == [key_id]
    assert secret not in listed.text


async def test_a_revoked_key_ends_at_once(service: Running) -> None:
    made = await make(service)

    for _ in range(2):
        reply = await service.client.delete(f"/v1/keys/{made['id']}", headers=service.key("admin"))
        assert reply.status_code == 204
    await learn(service)

    assert await accepts(service, made["key"]) == 401
    assert len(service.published(KeyChanged)) == 2


async def test_a_rotated_key_keeps_its_id_and_its_old_secret_for_the_grace(
    service: Running,
) -> None:
    made = await make(service)

    reply = await service.client.post(
        f"/v1/keys/{made['id']}/rotate",
        json={"grace_seconds": 60},
        headers=service.key("admin"),
    )
    await learn(service)

    rotated = reply.json()
    assert rotated["id"] == made["id"]
    assert await accepts(service, rotated["key"]) == 202
    assert await accepts(service, made["key"]) == 202
    later = wall_now() + timedelta(seconds=61)
    assert service.context.keys.caller(made["key"], later) is None
    assert service.context.keys.caller(rotated["key"], later) is not None


async def test_a_key_without_grace_loses_its_old_secret_with_the_rotation(
    service: Running,
) -> None:
    made = await make(service)

    await service.client.post(
        f"/v1/keys/{made['id']}/rotate", json={"grace_seconds": 0}, headers=service.key("admin")
    )
    await learn(service)

    assert await accepts(service, made["key"]) == 401


async def test_a_key_that_expired_is_unknown(service: Running) -> None:
    ended = (wall_now() - timedelta(seconds=1)).isoformat()

    made = await make(service, expires_at=ended)

    assert await accepts(service, made["key"]) == 401


async def test_a_key_that_expired_cannot_be_rotated(service: Running) -> None:
    ended = (wall_now() - timedelta(seconds=1)).isoformat()
    made = await make(service, expires_at=ended)

    reply = await service.client.post(f"/v1/keys/{made['id']}/rotate", headers=service.key("admin"))

    assert reply.status_code == 404


async def revoke(service: Running, key_id: str) -> int:
    reply = await service.client.delete(f"/v1/keys/{key_id}", headers=service.key("admin"))
    return int(reply.status_code)


async def test_the_last_key_of_an_administrator_stays(service: Running) -> None:
    ended = (wall_now() - timedelta(seconds=1)).isoformat()
    await make(service, scopes=["admin"], expires_at=ended)
    await make(service)
    first, second = [(await make(service, scopes=["admin"]))["id"] for _ in range(2)]

    answers = await asyncio.gather(revoke(service, first), revoke(service, second))

    assert sorted(answers) == [204, 409]
    (left,) = [key for key, answer in zip((first, second), answers, strict=True) if answer == 409]
    assert await revoke(service, left) == 409
    await make(service, scopes=["admin"])
    assert await revoke(service, left) == 204


@pytest.mark.parametrize(
    "body",
    [
        {"scopes": []},
        {"scopes": ["root"]},
        {"label": "\x00"},
        {"label": "\ud800"},
        {"label": "x" * 201},
        {"expires_at": "0001-01-01T00:00:00+23:59"},
        {"expires_at": "9999-12-31T23:59:59-23:59"},
        {"expires_at": 10**30},
        {"expires_at": "2026-03-02T12:00:00"},
        {"owner": "me"},
    ],
)
async def test_what_is_no_key_is_refused(service: Running, body: dict[str, Any]) -> None:
    reply = await service.client.post(
        "/v1/keys",
        content=json.dumps({"scopes": ["read"], "label": "shop"} | body),
        headers=service.key("admin") | {"Content-Type": "application/json"},
    )

    assert reply.status_code == 422, reply.text


@pytest.mark.parametrize("method", ["DELETE", "POST"])
async def test_a_key_that_is_not_there_cannot_be_changed(service: Running, method: str) -> None:
    path = "/v1/keys/nobody" + ("/rotate" if method == "POST" else "")

    reply = await service.client.request(method, path, headers=service.key("admin"))

    assert reply.status_code == 404


async def test_keys_are_listed_in_pages(service: Running) -> None:
    made: list[str] = []
    for serial in range(3):
        service.clock.advance(timedelta(milliseconds=1))
        made.append((await make(service, label=f"shop {serial}"))["label"])

    labels: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        reply = await service.client.get("/v1/keys", params=query, headers=service.key("admin"))
        labels += [one["label"] for one in reply.json()["items"]]
        cursor = reply.json()["next_cursor"]
    assert labels == made


async def test_secrets_are_nowhere_in_the_database_or_on_the_log(service: Running) -> None:
    made = await make(service)
    secret = made["key"].split("_", 2)[2].encode()

    async with service.context.read() as session:
        rows = await session.driver.fetch("SELECT keys::text AS row FROM keys")
    assert secret not in b"".join(row["row"].encode() for row in rows)
    assert all(secret not in (one.value or b"") for one in service.log.records("ingest.keys"))


async def test_first_keys_are_made_once_however_many_start_at_once(service: Running) -> None:
    async def ensure() -> dict[str, str] | None:
        async with service.context.transaction() as tx:
            return await handlers.ensure_first_keys(tx, now=service.clock.now())

    made = [one for one in await asyncio.gather(ensure(), ensure(), ensure()) if one]
    await learn(service)

    (first,) = made
    assert set(first) == {"admin", "ingest", "read"}
    assert await accepts(service, first["ingest"]) == 202
    assert await accepts(service, first["read"]) == 403
