"""From bytes to events and back."""

import json
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from shared.events.commerce import Item, OrderCompleted, OrderCompletedData
from shared.events.engagement import CustomData, CustomEvent
from shared.events.envelope import Data, Event
from shared.events.registry import (
    BY_TYPE,
    EVENT_CLASSES,
    InvalidEvent,
    Registry,
    UnknownType,
    UnreadableEvent,
    parse,
)
from shared.ids import CustomerId, EventId
from shared.testing.builders import NOON, event


class ParcelData(Data):
    weight_grams: int


class ParcelSent(Event):
    """A type whose first version gave kilograms, and its second ounces."""

    VERSION = 3
    type: Literal["parcel.sent"] = "parcel.sent"
    data: ParcelData


def from_kilograms(envelope: dict[str, Any]) -> dict[str, Any]:
    data = {"weight_ounces": envelope["data"]["weight_kilograms"] * 35}
    return envelope | {"schemaversion": 2, "data": data}


def from_ounces(envelope: dict[str, Any]) -> dict[str, Any]:
    data = {"weight_grams": envelope["data"]["weight_ounces"] * 28}
    return envelope | {"schemaversion": 3, "data": data}


PARCELS = Registry(
    {"parcel.sent": ParcelSent},
    {("parcel.sent", 1): from_kilograms, ("parcel.sent", 2): from_ounces},
)


def parcel(version: int, **data: int) -> bytes:
    return json.dumps(
        {
            "id": "p-1",
            "source": "/parcels",
            "type": "parcel.sent",
            "subject": "c-1",
            "time": NOON.isoformat(),
            "recordedtime": NOON.isoformat(),
            "schemaversion": version,
            "data": data,
        }
    ).encode()


@pytest.mark.parametrize("header", [None, "parcel.sent"])
@pytest.mark.parametrize(
    ("version", "data", "grams"),
    [
        (1, {"weight_kilograms": 2}, 1960),
        (2, {"weight_ounces": 3}, 84),
        (3, {"weight_grams": 5}, 5),
    ],
)
def test_an_old_version_is_brought_up_to_date_step_by_step(
    header: str | None, version: int, data: dict[str, int], grams: int
) -> None:
    read = parse(parcel(version, **data), header, PARCELS)
    assert isinstance(read, ParcelSent)
    assert (read.data.weight_grams, read.schemaversion) == (grams, 3)


def test_an_old_version_that_would_pass_as_the_new_one_is_still_upcast() -> None:
    read = parse(parcel(2, weight_ounces=3, weight_grams=999), "parcel.sent", PARCELS)
    assert read.data == ParcelData(weight_grams=84)


def test_a_registry_knows_only_its_own_types() -> None:
    with pytest.raises(UnknownType, match=r"parcel\.sent"):
        parse(parcel(3, weight_grams=5))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'{"type": 7}',
        b'{"type": "order.completed", "schemaversion": "1"}',
        b'{"type": "order.completed", "schemaversion": 0}',
        b'{"type": "order.completed", "schemaversion": -3}',
        b'{"type": "order.completed"}',
        b"[" * 100_000,
    ],
)
@pytest.mark.parametrize("header", [None, "order.completed"])
def test_what_is_no_event_is_refused_without_a_crash(value: bytes, header: str | None) -> None:
    with pytest.raises(InvalidEvent):
        parse(value, header)


def test_the_reason_of_a_refusal_names_the_field_and_not_the_value() -> None:
    broken = event(OrderCompleted).to_json().replace(b'"10.00"', b'"maren@customer.example"')
    with pytest.raises(InvalidEvent, match=r"data\.total") as caught:
        parse(broken)
    assert "maren" not in str(caught.value)


@pytest.mark.parametrize("name", ["custom.", "custom.Shout", "custom.*", "custom.a b"])
def test_a_custom_type_has_a_plain_name(name: str) -> None:
    value = event(CustomEvent, properties={}).to_json()
    assert parse(value.replace(b"custom.*", b"custom.gift_wrapped")).type == "custom.gift_wrapped"
    with pytest.raises(InvalidEvent):
        parse(value.replace(b"custom.*", name.encode()))


text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=40)
amounts = st.decimals(0, 10**11, places=2)
# A day inside what UTC can express, whatever the zone.
EARLIEST = datetime.fromisoformat("0001-01-02")
LATEST = datetime.fromisoformat("9999-12-30")
instants = st.datetimes(EARLIEST, LATEST, timezones=st.timezones())
plain = (
    text
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.none()
)
items = st.builds(
    Item, sku=text, name=text | st.none(), quantity=st.integers(0, 10**7), unit_price=amounts
)
orders = st.builds(
    OrderCompleted,
    id=text.map(EventId),
    source=text,
    subject=text.map(CustomerId),
    time=instants,
    recordedtime=instants,
    cause=text.map(EventId) | st.none(),
    data=st.builds(
        OrderCompletedData,
        order_id=text,
        total=amounts,
        currency=st.from_regex(r"[A-Z]{3}", fullmatch=True),
        items=st.lists(items, max_size=3).map(tuple),
    ),
)
customs = st.builds(
    CustomEvent,
    id=text.map(EventId),
    source=text,
    type=st.from_regex(r"custom\.[a-z0-9_]{1,80}", fullmatch=True),
    subject=text.map(CustomerId),
    time=instants,
    recordedtime=instants,
    data=st.builds(
        CustomData,
        properties=st.dictionaries(text, plain | st.lists(plain, max_size=3), max_size=4),
    ),
)


@given(orders | customs)
def test_what_is_written_is_read_back_equal(written: Event) -> None:
    value = written.to_json()
    assert parse(value) == parse(value, written.type) == written
    assert parse(value).to_json() == value


@given(st.binary(max_size=200) | st.text().map(str.encode), st.none() | st.sampled_from([*BY_TYPE]))
def test_no_bytes_whatever_crash_the_reader(value: bytes, header: str | None) -> None:
    with pytest.raises(UnreadableEvent):
        parse(value, header)


def test_money_is_kept_to_the_last_digit() -> None:
    value = event(OrderCompleted, total="123456789012.123456").to_json()
    read = parse(value)
    assert isinstance(read, OrderCompleted)
    assert read.data.total == Decimal("123456789012.123456")
    assert b'"123456789012.123456"' in value


def test_what_may_be_absent_has_a_default_because_null_is_not_written() -> None:
    """Events are written without nulls, so a nullable field without a default cannot be read."""
    models = {event.model_fields["data"].annotation for event in EVENT_CLASSES}
    seen: set[type[BaseModel]] = set()
    offences = []
    while models:
        model = models.pop()
        if not (isinstance(model, type) and issubclass(model, BaseModel)) or model in seen:
            models |= {one for one in get_args(model) if one is not Ellipsis} - seen
            seen.add(model)  # type: ignore[arg-type]  # unions are only passed through
            continue
        seen.add(model)
        for name, field in model.model_fields.items():
            if field.is_required() and type(None) in get_args(field.annotation):
                offences.append(f"{model.__name__}.{name}")
            models |= {field.annotation} - seen
    assert not offences
