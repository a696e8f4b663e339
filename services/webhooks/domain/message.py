"""The message that tells of an event: its id and its bytes, built once and stored once."""

import json
from typing import Any

from services.webhooks.domain.interest import OPERATOR_TYPES
from shared.events.envelope import Event
from shared.ids import DeliveryId, EndpointId, derived_id


def message_id(event: Event) -> str:
    """The `webhook-id`: the same for every attempt and replay, and nobody's to choose."""
    return "msg_" + derived_id(f"{event.source}\x1f{event.id}", "message").replace("-", "")


def delivery_id(message: str, endpoint: EndpointId) -> DeliveryId:
    """The id of telling one endpoint one message."""
    return DeliveryId("dlv_" + derived_id(f"{message}\x1f{endpoint}", "delivery").replace("-", ""))


def body_of(event: Event, sequence: int) -> bytes:
    """The bytes that are signed and sent: Standard Webhooks' shape and our four fields.

    `customer_id` is null where the event is about an endpoint.
    """
    about_customer = event.type not in OPERATOR_TYPES
    return encode(
        event_type=event.type,
        timestamp=event.model_dump(mode="json", include={"time"})["time"],
        data=event.data.model_dump_json(exclude_none=True),
        event_id=event.id,
        customer_id=event.subject if about_customer else None,
        sequence=sequence,
        schema_version=event.schemaversion,
    )


def encode(
    *,
    event_type: str,
    timestamp: str,
    data: str,
    event_id: str,
    customer_id: str | None,
    sequence: int,
    schema_version: int = 1,
    test: bool = False,
) -> bytes:
    """Minified JSON; `data` is JSON already. `test` marks a message that nothing caused."""
    fields: dict[str, Any] = {"type": event_type, "timestamp": timestamp}
    rest: dict[str, Any] = {
        "id": event_id,
        "customer_id": customer_id,
        "sequence": sequence,
        "schema_version": schema_version,
    }
    if test:
        rest["test"] = True
    return f'{_json(fields)[:-1]},"data":{data},{_json(rest)[1:]}'.encode()


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
