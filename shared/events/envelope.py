"""The envelope of every event: CloudEvents 1.0 in structured JSON, keyed by customer.

One class per type derives from `Event` and narrows `type` and `data`. On Kafka unknown fields are
ignored, so an older reader survives a newer writer; the door of ingest refuses them.
Source: CloudEvents specification 1.0.2, with the extensions `recordedtime`, `originaltime`,
`cause`, `alias` and `schemaversion`.
"""

from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from shared.ids import CustomerId, EventId, derived_event_id

_EXPONENT_MAX = 18


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("the instant lies outside the years 1 to 9999 in UTC") from None


def _of_this_world(value: Decimal) -> Decimal:
    """pydantic counts the digits of 1e-999999999 and 0e999999 as few; written out they are a
    gigabyte, and PostgreSQL refuses them."""
    if abs(value.adjusted()) > _EXPONENT_MAX:
        raise ValueError("an amount has at most 18 digits, 6 of them decimal places")
    return value


# PostgreSQL's text type cannot hold NUL, so a string with one would poison every consumer.
_NO_NUL = r"^[^\x00]*$"
Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
EventName = Annotated[EventId, Field(min_length=1, max_length=200, pattern=_NO_NUL)]
CustomerName = Annotated[CustomerId, Field(min_length=1, max_length=200, pattern=_NO_NUL)]
# Causes that are no events are made of a word and an id or two.
Cause = Annotated[EventId, Field(min_length=1, max_length=1_000, pattern=_NO_NUL)]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=_NO_NUL)]
Line = Annotated[str, Field(max_length=1_000, pattern=_NO_NUL)]
Text = Annotated[str, Field(max_length=20_000, pattern=_NO_NUL)]
Amount = Annotated[
    Decimal,
    Field(ge=0, max_digits=18, decimal_places=6, allow_inf_nan=False),
    AfterValidator(_of_this_world),
]
SignedAmount = Annotated[
    Decimal,
    Field(max_digits=18, decimal_places=6, allow_inf_nan=False),
    AfterValidator(_of_this_world),
]
CURRENCY_PATTERN = r"^[A-Z]{3}$"
Currency = Annotated[str, Field(pattern=CURRENCY_PATTERN)]
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Score = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Plain = Text | int | Finite | bool | None


class Data(BaseModel):
    """Base of every payload and of the values inside one."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Context(Data):
    """Where an event happened, as far as the shop tells."""

    channel: Name | None = None
    campaign: Line | None = None
    device: Line | None = None
    locale: Name | None = None
    page: Line | None = None
    ip: Name | None = None


class IntakeData(Data):
    """Base of the payloads that shops send."""

    context: Context | None = None


class Event(BaseModel):
    """What all events share. `subject` is the customer and the key on Kafka.

    `originaltime` is what the client said of `time`, where its clock was corrected for.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    VERSION: ClassVar[int] = 1

    specversion: Literal["1.0"] = "1.0"
    id: EventName
    source: Name
    type: str
    subject: CustomerName
    time: Instant
    recordedtime: Instant
    originaltime: Instant | None = None
    datacontenttype: Literal["application/json"] = "application/json"
    cause: Cause | None = None
    alias: CustomerName | None = None
    schemaversion: int = 1
    data: Data

    @classmethod
    @cache
    def type_name(cls) -> str:
        """The dotted name on the wire, such as `order.completed`."""
        return str(cls.model_fields["type"].default)

    @classmethod
    def caused_by(
        cls,
        cause: str,
        *,
        source: str,
        subject: CustomerId,
        time: datetime,
        recordedtime: datetime,
        data: Data,
        ordinal: int = 0,
        origin: str = "",
    ) -> Self:
        """A new event that follows from `cause`; its id is derived, so repeating gives the same.

        `time` is when it counts as having happened, `recordedtime` when it was written down.
        `ordinal` tells apart several events of one type with one cause. `origin` is the cause's
        source where that is a shop's: ids are unique per source only.
        """
        return cls(
            id=cls.id_because(cause, ordinal, origin),
            source=source,
            type=cls.type_name(),
            subject=subject,
            time=time,
            recordedtime=recordedtime,
            cause=EventId(cause),
            schemaversion=cls.VERSION,
            data=data,
        )

    @classmethod
    def id_because(cls, cause: str, ordinal: int = 0, origin: str = "") -> EventId:
        """The id of an event of this type that follows from `cause`; see `caused_by`."""
        return derived_event_id(f"{origin}#{cause}" if origin else cause, cls.type_name(), ordinal)

    def to_json(self) -> bytes:
        """The bytes that go on Kafka: compact JSON without absent attributes."""
        return self.model_dump_json(exclude_none=True).encode()
