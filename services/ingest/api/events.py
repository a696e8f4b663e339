"""`POST /v1/events` as the documentation shows it, and the catalogue of what may be posted.

The door answers the posts themselves before routing; this route answers where it is not in front.
"""

import json
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

import shared.events
from services.ingest.api.door import PATH, answer
from services.ingest.api.receipts import AcceptedEvent, RejectedEvent
from services.ingest.api.schemas import CLOUD_EVENT, EXAMPLES, REQUEST
from services.ingest.domain.intake import MODEL_OF
from shared.events.engagement import CustomEvent
from shared.runtime.http import CanIngest, CanRead, Ctx, Page, ProblemDetails

router = APIRouter(tags=["events"])
_CLIENT_CLOSED = 499


class _Passed(Response):
    """An answer that the door has made, as a response of the framework."""

    def __init__(self, app: Any) -> None:
        super().__init__()
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


class Receipt(BaseModel):
    """A verdict for every event of the request, by its place in it."""

    accepted: list[AcceptedEvent]
    rejected: list[RejectedEvent]


class NothingAccepted(ProblemDetails):
    """The problem of a request none of whose events was acceptable."""

    accepted: list[AcceptedEvent] = Field(default_factory=list)
    rejected: list[RejectedEvent] = Field(default_factory=list)


class EventType(BaseModel):
    """A type of event that may be posted, with the JSON Schema of one event and an example."""

    type: str
    description: str
    json_schema: dict[str, Any] = Field(serialization_alias="schema")
    example: dict[str, Any]


@cache
def _examples() -> dict[str, dict[str, Any]]:
    """An example of each type as a shop would post it, from the golden ones of the language."""
    folder = Path(shared.events.__path__[0]) / "examples"
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.json")):
        golden = json.loads(path.read_bytes())
        data = dict(golden["data"])
        if golden["type"].startswith("custom."):
            data = data["properties"]
        context = data.pop("context", None)
        found[golden["type"]] = {
            "id": golden["id"],
            "type": golden["type"],
            "customer_id": golden["subject"],
            "occurred_at": golden["time"],
            "data": data,
            **({"context": context} if context else {}),
        }
    return found


@cache
def event_types() -> tuple[EventType, ...]:
    """Everything that may be posted, in the order of the language."""
    examples = _examples()
    custom = next(value for name, value in examples.items() if name.startswith("custom."))
    return tuple(
        EventType(
            type="custom.<name>" if kind is CustomEvent else kind.type_name(),
            description=(kind.__doc__ or "").strip(),
            json_schema=model.model_json_schema(),
            example=custom if kind is CustomEvent else examples[kind.type_name()],
        )
        for kind, model in MODEL_OF.items()
    )


@router.post(
    PATH.removeprefix("/v1"),
    status_code=202,
    response_model=Receipt,
    summary="Post one event or a batch",
    responses={
        200: {"model": Receipt, "description": "the verdicts of a dry run"},
        400: {"model": ProblemDetails, "description": "not JSON, or not valid gzip"},
        413: {"model": ProblemDetails, "description": "too many bytes or events"},
        422: {"model": NothingAccepted, "description": "no event was acceptable"},
        429: {"model": ProblemDetails, "description": "too fast; see Retry-After"},
        503: {"model": ProblemDetails, "description": "nothing was promised; see Retry-After"},
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "One event, or several as `events`; or CloudEvents 1.0, where `subject` "
            "is the customer and `anonymousid` a visitor: one, a batch, or in binary mode (`ce-` "
            "headers, the data as JSON). May be compressed with gzip.",
            "content": {
                "application/json": {"schema": REQUEST, "examples": EXAMPLES},
                "application/cloudevents+json": {"schema": CLOUD_EVENT},
                "application/cloudevents-batch+json": {
                    "schema": {"type": "array", "items": CLOUD_EVENT}
                },
            },
        }
    },
)
async def post_events(
    request: Request,
    context: Ctx,
    _: CanIngest,
    _dry_run: Annotated[
        bool,
        Query(alias="dry_run", description="only judge: nothing is published or kept as refused"),
    ] = False,
) -> Response:
    """Answers 202 when the broker has the accepted events. An event sent again with the same `id`
    counts once, as does the same order or refund under another id, and a ticket's opening or
    resolving that says the same (`data` and `occurred_at`). A device with a clock of its own adds
    `sent_at` at the top: where that is minutes off, the events' times are corrected by as much."""
    response = await answer(context, request.scope, request.receive)
    return _Passed(response) if response is not None else Response(status_code=_CLIENT_CLOSED)


@router.get("/event-types")
async def list_event_types(
    _: CanRead,
    kind: Annotated[str | None, Query(alias="type", max_length=100)] = None,
) -> Page[EventType]:
    """The types of events, with schemas and examples."""
    items = [one for one in event_types() if kind is None or one.type == kind]
    return Page(items=items)
