"""Every route has a scope, and the documentation shows what the door takes."""

from typing import Any

import jsonschema
import pytest

from services.ingest.main import build
from shared.runtime.web import OPERATIONS
from shared.testing.harness import Running, running
from tests.integration.ingest.posting import order, visit


@pytest.fixture
async def service(database_url: str) -> Any:
    async with running(build, database_url, consume=False) as started:
        yield started


async def described(service: Running) -> Any:
    return (await service.client.get("/openapi.json")).json()


async def test_no_route_answers_without_a_key(service: Running) -> None:
    document = await described(service)
    routes = [
        (method, path)
        for path, methods in document["paths"].items()
        for method, described_route in methods.items()
        if path not in OPERATIONS and not described_route.get("x-public")
    ]
    assert {("post", "/v1/events"), ("post", "/v1/batch"), ("post", "/v1/t")} <= set(routes)
    for method, path in routes:
        reply = await service.client.request(method, path.replace("{", "x").replace("}", "x"))
        assert reply.status_code == 401, (method, path)
        assert reply.headers["content-type"] == "application/problem+json"


async def test_the_documentation_shows_schemas_and_examples_of_what_may_be_posted(
    service: Running,
) -> None:
    document = await described(service)

    content = document["paths"]["/v1/events"]["post"]["requestBody"]["content"]["application/json"]
    schema = {**content["schema"], "components": document["components"]}
    for example in content["examples"].values():
        jsonschema.validate(example["value"], schema)
    jsonschema.validate({"events": [order(), visit()]}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"type": "order.completed", "data": {"order_id": 5}}, schema)


async def test_every_event_type_has_a_schema_that_its_example_obeys(service: Running) -> None:
    reply = await service.client.get("/v1/event-types", headers=service.key("read"))

    items = reply.json()["items"]
    assert len(items) >= 28
    for one in items:
        assert one["description"]
        jsonschema.validate(one["example"], one["schema"])


async def test_one_event_type_can_be_asked_for(service: Running) -> None:
    reply = await service.client.get(
        "/v1/event-types", params={"type": "order.completed"}, headers=service.key("read")
    )

    assert [one["type"] for one in reply.json()["items"]] == ["order.completed"]
