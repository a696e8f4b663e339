"""The schemas of what may be posted, in the OpenAPI document of an app that reads raw bytes."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from services.ingest.api.segment_schemas import SCHEMES
from services.ingest.domain.intake import MODEL_OF, IntakeBatch

_REF = "#/components/schemas/{model}"
_ORDER = {
    "id": "web-2026-000123",
    "type": "order.completed",
    "customer_id": "c-1001",
    "occurred_at": "2026-03-02T12:00:00Z",
    "data": {
        "order_id": "2026-000123",
        "total": "25.98",
        "currency": "GBP",
        "items": [{"sku": "MUG-1", "quantity": 2, "unit_price": "12.99"}],
    },
}
_VISIT = {
    "type": "product.viewed",
    "customer_id": "c-1001",
    "anonymous_id": "device-77f1",
    "data": {"sku": "MUG-1"},
    "context": {"channel": "web"},
}
REQUEST: dict[str, Any] = {
    "anyOf": [
        *({"$ref": _REF.format(model=model.__name__)} for model in MODEL_OF.values()),
        {"$ref": _REF.format(model=IntakeBatch.__name__)},
    ]
}
CLOUD_EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["specversion", "id", "source", "type", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1, "maxLength": 200},
        "source": {"type": "string", "minLength": 1, "format": "uri-reference"},
        "type": {"type": "string", "description": "one of GET /v1/event-types"},
        "subject": {"type": ["string", "null"], "description": "the customer"},
        "anonymousid": {"type": ["string", "null"], "description": "the visitor"},
        "time": {"type": ["string", "null"], "format": "date-time"},
        "datacontenttype": {"type": ["string", "null"], "examples": ["application/json"]},
        "data": {"type": "object", "description": "as in an event of this type"},
    },
    "examples": [
        {
            "specversion": "1.0",
            "id": _ORDER["id"],
            "source": "/shop/web",
            "type": _ORDER["type"],
            "subject": _ORDER["customer_id"],
            "time": _ORDER["occurred_at"],
            "data": _ORDER["data"],
        }
    ],
}
EXAMPLES: dict[str, Any] = {
    "order": {"summary": "An order", "value": _ORDER},
    "batch": {
        "summary": "An order, and a visit that links a device to its customer",
        "value": {"events": [_ORDER, _VISIT]},
    },
    "device": {
        "summary": "From a device whose own clock may be wrong",
        "value": {"events": [_VISIT], "sent_at": "2026-03-02T12:00:00Z"},
    },
}


def document(app: FastAPI) -> None:
    """Adds the schemas of all event types to the app's OpenAPI document."""
    plain: Callable[[], dict[str, Any]] = app.openapi

    def complete() -> dict[str, Any]:
        described = plain()
        components = described.setdefault("components", {})
        components.setdefault("securitySchemes", {}).update(SCHEMES)
        schemas = components.setdefault("schemas", {})
        models: list[type[BaseModel]] = [*MODEL_OF.values(), IntakeBatch]
        _, found = models_json_schema(
            [(model, "validation") for model in models], ref_template=_REF
        )
        for name, schema in found["$defs"].items():
            schemas.setdefault(name, schema)
        return described

    app.openapi = complete  # type: ignore[method-assign]  # FastAPI's documented way to extend it
