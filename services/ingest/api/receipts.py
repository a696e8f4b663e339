"""The verdicts on events, as answers show them."""

from pydantic import BaseModel


class AcceptedEvent(BaseModel):
    """An event that is safe with us: `id` is the one it came with, or the one it was given."""

    index: int
    id: str


class EventError(BaseModel):
    """`path` is dotted from the top of the request: `events.3.data.items.0.quantity`. Where the
    tracking plan is broken, `rule` and `field` name the place in it."""

    path: str
    message: str
    rule: str | None = None
    field: str | None = None


class RejectedEvent(BaseModel):
    """An event that was not taken, and why."""

    index: int
    id: str | None
    errors: list[EventError]
