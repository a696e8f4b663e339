"""What happens in a shop, as it goes through the public door of ingest."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

ORDER = "order.completed"
# How the ids of people begin who did not say who they are.
GUEST = "guest-"
DEVICE = "anon-"


@dataclass(frozen=True, slots=True)
class Happening:
    """One event of a shop. `person` is who it is about under whatever id: their order is kept."""

    at: datetime
    id: str
    type: str
    person: str
    data: dict[str, Any] = field(default_factory=dict)
    customer_id: str | None = None
    anonymous_id: str | None = None
    context: dict[str, str] | None = None

    def payload(self) -> dict[str, Any]:
        """The event as `POST /v1/events` takes it."""
        whole = {
            "id": self.id,
            "type": self.type,
            "customer_id": self.customer_id,
            "anonymous_id": self.anonymous_id,
            "occurred_at": self.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "data": self.data,
            "context": self.context,
        }
        return {name: value for name, value in whole.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Intervention:
    """An intervention that was made, as the shop's systems hear of it by webhook."""

    id: str
    customer_id: str
    channel: str
    at: datetime
    message_id: str | None = None
    offer: str | None = None


class History(Protocol):
    """A shop's history in time order."""

    @property
    def title(self) -> str: ...
    @property
    def starts_at(self) -> datetime: ...
    @property
    def ends_at(self) -> datetime: ...
    @property
    def not_sent(self) -> dict[str, int]:
        """Why records of the source are no events, and how many there are."""
        ...

    @property
    def answers(self) -> bool:
        """Whether anybody can still answer an intervention."""
        ...

    def happenings(self) -> Iterator[Happening]: ...
    def react(self, intervention: Intervention) -> None:
        """Lets the customer answer, if they are the kind that does."""
        ...


def until_order(happenings: Iterator[Happening], orders_max: int | None) -> Iterator[Happening]:
    """What happens up to and including the `orders_max`-th order; None means to the end."""
    orders = 0
    for happening in happenings:
        if orders_max is not None and orders >= orders_max:
            return
        yield happening
        orders += happening.type == ORDER
