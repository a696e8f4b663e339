"""From rows to events."""

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.errors import StackError
from stack.replay.mapping import BadRow, Flaw, complete, fitted, read_mapping

SHOP = {
    "type": "order.completed",
    "timezone": "Europe/London",
    "time_format": "%d/%m/%Y %H:%M",
    "columns": {
        "Invoice": ["id", "data.order_id"],
        "Customer": "customer_id",
        "Date": "occurred_at",
        "Total": "data.total",
        "Sku": "data.items.0.sku",
        "Count": "data.items.0.quantity",
    },
    "constants": {"data.currency": "GBP"},
}
ROW = {
    "Invoice": "1001", "Customer": "c-1", "Date": "01/07/2024 12:30",
    "Total": "9.50", "Sku": "A", "Count": "2", "Unmapped": "x",
}  # fmt: skip


def event(row: dict[str, Any], document: Any = None, number: int = 1) -> dict[str, Any]:
    return read_mapping(document or SHOP).event(row, number)


def flaw(row: dict[str, Any], document: Any = None) -> Flaw:
    with pytest.raises(BadRow) as bad:
        event(row, document)
    return bad.value.flaw


def test_columns_go_where_the_mapping_says_and_times_are_of_their_zone() -> None:
    assert event(ROW) == {
        "id": "1001",
        "type": "order.completed",
        "customer_id": "c-1",
        "occurred_at": "2024-07-01T11:30:00Z",
        "data": {
            "currency": "GBP",
            "order_id": "1001",
            "total": "9.50",
            "items": [{"sku": "A", "quantity": "2"}],
        },
    }


def test_an_empty_cell_is_absent() -> None:
    assert "total" not in event(ROW | {"Total": ""})["data"]


@pytest.mark.parametrize(
    ("value", "time_format", "instant"),
    [
        ("2024-01-02T03:04:05.5Z", None, "2024-01-02T03:04:05.500000Z"),
        ("2024-01-02 03:04:05+02:00", None, "2024-01-02T01:04:05Z"),
        ("2024-01-02", None, "2024-01-02T00:00:00Z"),
        ("1704164645", "unix", "2024-01-02T03:04:05Z"),
        (1704164645500, "unix_ms", "2024-01-02T03:04:05.500000Z"),
        (datetime(2024, 1, 2, 3, 4, 5), None, "2024-01-02T03:04:05Z"),  # noqa: DTZ001
        (datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=1))), None, "2024-01-01T23:00:00Z"),
        (date(2024, 1, 2), "%d/%m/%Y", "2024-01-02T00:00:00Z"),
    ],
)
def test_a_time_is_read_as_the_file_has_it(
    value: Any, time_format: str | None, instant: str
) -> None:
    document = {"columns": {"at": "occurred_at"}} | (
        {"time_format": time_format} if time_format else {}
    )
    assert event({"at": value}, document)["occurred_at"] == instant


@pytest.mark.parametrize("value", ["yesterday", "31/02/2024 10:00", "2024-07-01", True, ["x"]])
def test_what_is_no_time_is_told_with_its_column(value: Any) -> None:
    found = flaw(ROW | {"Date": value})
    assert (found.column, found.path) == ("Date", "occurred_at")


@pytest.mark.parametrize("value", ["inf", "1e300", "nan", "x"])
def test_no_number_of_seconds_is_too_odd(value: str) -> None:
    document = {"columns": {"at": "occurred_at"}, "time_format": "unix"}
    assert flaw({"at": value}, document).path == "occurred_at"


@pytest.mark.parametrize(
    ("value", "zone"),
    [
        ("0001-01-01", "Europe/Berlin"),
        ("9999-12-31 23:59:59", "America/New_York"),
        ("0001-01-01T00:00:00+14:00", "UTC"),
        ("9999-12-31T23:59:59-12:00", "UTC"),
        (datetime(1, 1, 1), "Asia/Tokyo"),  # noqa: DTZ001
        (datetime(9999, 12, 31, 23), "Pacific/Honolulu"),  # noqa: DTZ001
    ],
)
def test_a_date_that_stands_for_no_date_is_told_with_its_column(value: Any, zone: str) -> None:
    document = {"columns": {"at": "occurred_at"}, "timezone": zone}
    assert flaw({"at": value}, document)[:2] == ("at", "occurred_at")


def test_history_without_a_time_is_refused() -> None:
    assert flaw(ROW | {"Date": ""}) == Flaw("", "occurred_at", "needed: history has times")


def test_ids_are_texts_and_numbers_of_money_stay_exact() -> None:
    row = ROW | {"Invoice": 1001.0, "Customer": 17850, "Total": Decimal("9.50")}
    found = event(row)
    assert (found["id"], found["customer_id"], found["data"]["total"]) == ("1001", "17850", "9.50")


def test_a_dotted_column_leads_into_objects_and_lists_come_whole() -> None:
    document = {
        "columns": {"who.id": "customer_id", "at": "occurred_at", "lines": "data.items"},
    }
    row = {
        "who": {"id": 7},
        "at": "2024-01-02",
        "lines": [{"sku": "A", "unit_price": Decimal("1.5"), "on": date(2024, 1, 1)}],
    }
    found = event(row, document)
    assert found["customer_id"] == "7"
    assert found["data"]["items"] == [
        {"sku": "A", "unit_price": "1.5", "on": "2024-01-01T00:00:00+00:00"}
    ]


def test_what_json_cannot_say_is_told_and_what_is_no_number_is_absent() -> None:
    assert flaw(ROW | {"Total": b"\x00"}).column == "Total"
    for nothing in (float("nan"), float("inf"), Decimal("NaN"), None):
        assert "total" not in event(ROW | {"Total": nothing})["data"]


def test_two_columns_for_one_path_are_a_choice_of_the_first_that_says_something() -> None:
    document = {"columns": {"a": "customer_id", "b": "customer_id", "at": "occurred_at"}}
    assert event({"a": "", "b": "c-2", "at": "2024-01-02"}, document)["customer_id"] == "c-2"
    assert event({"a": "c-1", "b": "c-2", "at": "2024-01-02"}, document)["customer_id"] == "c-1"


def test_a_value_that_has_no_place_is_told() -> None:
    document = {"columns": {"a": "data.x", "b": "data.x.y", "at": "occurred_at"}}
    row = {"a": "1", "b": "2", "at": "2024-01-02"}
    assert flaw(row, document) == Flaw(
        "b", "data.x.y", "has no place in the event beside what is there"
    )


def test_constants_are_not_shared_between_events() -> None:
    document = {
        "columns": {"sku": "data.items.0.sku", "at": "occurred_at"},
        "constants": {"data.items": []},
    }
    first = event({"sku": "A", "at": "2024-01-02"}, document)
    second = event({"sku": "B", "at": "2024-01-02"}, document)
    assert (first["data"]["items"], second["data"]["items"]) == ([{"sku": "A"}], [{"sku": "B"}])


def test_the_id_of_a_row_without_one_follows_from_its_place_and_content() -> None:
    row = {"a": 1, "at": datetime(2024, 1, 2, tzinfo=UTC)}
    base = {"occurred_at": "2024-01-02T00:00:00Z"}
    ids = [complete(dict(base), one, number)["id"] for one, number in
           [(row, 1), (dict(reversed(row.items())), 1), (row, 2), (row | {"a": 2}, 1)]]  # fmt: skip
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"colums": {}}, "colums"),
        ({"columns": {"a": "total"}}, "total is no part of an event"),
        ({"columns": {"a": "data."}}, "data. is no part"),
        ({"columns": {"a": ["id", 5]}}, "5 is no part"),
        ({"constants": {"customer": "x"}}, "customer is no part"),
        ({"columns": {"a": "id"}, "timezone": "Mars/Phobos"}, "Mars/Phobos"),
        ({"columns": {"a": "id"}, "timezone": "../etc/passwd"}, "passwd"),
    ],
)
def test_a_mapping_that_cannot_be_meant_is_told(document: Any, words: str) -> None:
    with pytest.raises(StackError, match=words):
        read_mapping(document)


def test_without_a_mapping_columns_are_taken_by_their_names() -> None:
    names = ["type", "customer_id", "occurred_at", "data.total", "context.channel"]
    assert fitted(None, names).columns == {name: (name,) for name in names}
    with pytest.raises(StackError, match="what these columns are: Total, Date"):
        fitted(None, [*names, "Total", "Date"])


def test_a_column_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(StackError, match=r"no column Datum. There are: Date, Total"):
        fitted(read_mapping({"columns": {"Datum": "occurred_at"}}), ["Date", "Total"])


def test_an_error_s_path_leads_back_to_its_column() -> None:
    mapping = read_mapping(SHOP)
    assert mapping.column_of("data.total") == "Total"
    assert mapping.column_of("data.items.0.quantity") == "Count"
    assert mapping.column_of("id") == "Invoice"
    assert mapping.column_of("data.currency") == ""


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
    | st.decimals() | st.binary(max_size=3) | st.dates() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)  # fmt: skip


@given(st.fixed_dictionaries(dict.fromkeys(ROW, VALUES)))
def test_a_row_is_an_event_or_a_flaw_whatever_is_in_it(row: dict[str, Any]) -> None:
    try:
        found = event(row)
    except BadRow:
        return
    assert found == event(row)
    assert found["id"] is not None
    json.dumps(found)
