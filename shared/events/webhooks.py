"""What webhooks tells operators. `subject` is the endpoint's id, not a customer."""

from typing import Literal

from shared.events.envelope import Data, Event, Line, Name


class EndpointDisabledData(Data):
    endpoint_id: Name
    reason: Line


class EndpointDisabled(Event):
    """An endpoint gets nothing any more until it is enabled again."""

    type: Literal["endpoint.disabled"] = "endpoint.disabled"
    data: EndpointDisabledData


class DeliveryStateData(Data):
    endpoint_id: Name
    delivery_id: Name
    event_type: Name
    attempts: int
    reason: Line


class DeliveryFailing(Event):
    """A delivery failed several times and goes on being tried."""

    type: Literal["delivery.failing"] = "delivery.failing"
    data: DeliveryStateData


class DeliveryExhausted(Event):
    """A delivery failed for the last time."""

    type: Literal["delivery.exhausted"] = "delivery.exhausted"
    data: DeliveryStateData


class DeliveryRecovered(Event):
    """A failing endpoint takes deliveries again."""

    type: Literal["delivery.recovered"] = "delivery.recovered"
    data: DeliveryStateData


WEBHOOKS = (EndpointDisabled, DeliveryFailing, DeliveryExhausted, DeliveryRecovered)
