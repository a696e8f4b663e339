"""Segment's interface as the documentation shows it."""

from typing import Any, Literal

from pydantic import BaseModel

from services.ingest.api.receipts import AcceptedEvent, RejectedEvent
from services.ingest.domain.segment.calls import KINDS, Kind
from shared.runtime.http import ProblemDetails

DESCRIPTION = (
    "For clients of Segment and RudderStack, by a change of host. The write key is a key with the "
    "scope `ingest`: as user name of Basic, as Bearer, as `writeKey` in the body or the query, or "
    "as `X-Write-Key`. May be compressed with gzip; the content type is not looked at. Answers 200 "
    "when the broker has every event; a refused one is told in `rejected` and does not hold up the "
    "others. A call sent again with the same `messageId` counts once."
)
SECURITY: list[dict[str, list[str]]] = [{"HTTPBasic": []}, {"HTTPBearer": []}, {"WriteKey": []}]
SCHEMES: dict[str, Any] = {
    "HTTPBasic": {
        "type": "http",
        "scheme": "basic",
        "description": "the write key as user name, without a password",
    },
    "WriteKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Write-Key",
        "description": "the write key, which may as well stand in the body or the query",
    },
}
_CALL: dict[str, Any] = {
    "type": "object",
    "properties": {
        "messageId": {"type": "string", "maxLength": 200},
        "userId": {"type": ["string", "null"]},
        "anonymousId": {"type": ["string", "null"]},
        "timestamp": {"type": "string", "format": "date-time"},
        "originalTimestamp": {"type": "string", "format": "date-time"},
        "context": {"type": "object"},
        "writeKey": {"type": "string"},
    },
}
_OWN: dict[Kind, dict[str, Any]] = {
    "identify": {"traits": {"type": "object"}},
    "track": {"event": {"type": "string"}, "properties": {"type": "object"}},
    "page": {"name": {"type": "string"}, "properties": {"type": "object"}},
    "screen": {"name": {"type": "string"}, "properties": {"type": "object"}},
    "group": {"groupId": {"type": "string"}, "traits": {"type": "object"}},
    "alias": {"previousId": {"type": "string"}, "userId": {"type": "string"}},
}
_REQUIRED: dict[Kind, list[str]] = {
    "track": ["event"],
    "group": ["groupId"],
    "alias": ["previousId", "userId"],
}
_EXAMPLE = {
    "type": "track",
    "userId": "c-1001",
    "event": "Order Completed",
    "messageId": "order-2026-000123",
    "timestamp": "2026-03-02T12:00:00.000Z",
    "properties": {
        "order_id": "2026-000123",
        "revenue": 25.98,
        "currency": "GBP",
        "products": [{"product_id": "MUG-1", "price": 12.99, "quantity": 2}],
    },
}


class SegmentReceipt(BaseModel):
    """`success` tells that the request was taken; the verdicts tell what became of each call."""

    success: Literal[True]
    accepted: list[AcceptedEvent]
    rejected: list[RejectedEvent]


class SegmentProblem(ProblemDetails):
    """A problem, with the two fields that Segment's clients look for."""

    code: str
    message: str


class ProjectSettings(BaseModel):
    """The document that Segment's browser client starts from."""

    integrations: dict[str, dict[str, Any]]
    plan: dict[str, Any]
    edgeFunction: dict[str, Any]  # noqa: N815 — Segment's names
    enabledMiddleware: dict[str, Any]  # noqa: N815
    middlewareSettings: dict[str, Any]  # noqa: N815
    metrics: dict[str, Any]
    legacyVideoPluginsEnabled: bool  # noqa: N815
    remotePlugins: list[Any]  # noqa: N815


RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"model": SegmentProblem, "description": "not JSON, not gzip, too large, too many calls"},
    401: {"model": SegmentProblem, "description": "no valid write key"},
    403: {"model": SegmentProblem, "description": "a key without the scope ingest"},
    429: {"model": SegmentProblem, "description": "too fast; see Retry-After"},
    503: {"model": SegmentProblem, "description": "nothing was promised; see Retry-After"},
}


def summary(kind: Kind | None) -> str:
    """The title of a route."""
    return f"Segment: {kind}" if kind is not None else "Segment: a batch of calls"


def request_of(kind: Kind | None) -> dict[str, Any]:
    """The request body of a route, and that a key is needed."""
    if kind is None:
        calls = [_schema(one) for one in KINDS]
        schema: dict[str, Any] = {
            "type": "object",
            "required": ["batch"],
            "properties": {
                "batch": {"type": "array", "items": {"anyOf": calls}},
                "context": {"type": "object"},
                "writeKey": {"type": "string"},
            },
        }
    else:
        schema = _schema(kind)
    content: dict[str, Any] = {"schema": schema}
    if kind in {None, "track"}:
        content["example"] = {"batch": [_EXAMPLE]} if kind is None else _EXAMPLE
    return {
        "security": SECURITY,
        "requestBody": {"required": True, "content": {"application/json": content}},
    }


def _schema(kind: Kind) -> dict[str, Any]:
    named = {"type": {"const": kind}}
    return {
        **_CALL,
        "title": kind,
        "properties": _CALL["properties"] | _OWN[kind] | named,
        "required": _REQUIRED.get(kind, []),
    }


def project_settings(key: str, scheme: str, host: str) -> dict[str, Any]:
    """The settings of a write key whose client reaches us at `host`."""
    enabled = {"__default": {"enabled": True, "integrations": {}}}
    return {
        "integrations": {
            "Segment.io": {
                "apiKey": key,
                "apiHost": f"{host}/v1",
                "protocol": scheme,
                "unbundledIntegrations": [],
                "addBundledMetadata": True,
                "maybeBundledConfigIds": {},
                "versionSettings": {"version": "4.4.7", "componentTypes": ["browser"]},
            }
        },
        "plan": {"track": enabled, "identify": enabled, "group": enabled},
        "edgeFunction": {},
        "enabledMiddleware": {},
        "middlewareSettings": {},
        "metrics": {"sampleRate": 0},
        "legacyVideoPluginsEnabled": False,
        "remotePlugins": [],
    }
