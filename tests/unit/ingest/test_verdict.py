"""What the door accepts and refuses, with exact paths."""

import contextlib
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.intake import ONE, class_of
from services.ingest.domain.verdict import Limits, Unreadable
from shared.events.topics import INTAKE
from tests.unit.ingest.cases import custom, flaws, judged, order, paths


def without(event: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key != name}


@pytest.mark.parametrize(
    ("event", "path"),
    [
        (
            order(data={"items": [{"sku": "A", "quantity": -1, "unit_price": "1"}]}),
            "data.items.0.quantity",
        ),
        (order(data={"items": [{"sku": "A", "quantity": 1}]}), "data.items.0.unit_price"),
        (
            order(data={"items": [{"sku": "A", "quantity": 1, "unit_price": "1", "x": 1}]}),
            "data.items.0.x",
        ),
        (order(data={"items": 5}), "data.items"),
        (order(data={"total": "-1"}), "data.total"),
        (order(data={"total": "1.2345678"}), "data.total"),
        (order(data={"total": "NaN"}), "data.total"),
        (order(data={"total": "1e-999999999"}), "data.total"),
        (order(data={"total": "0e999999"}), "data.total"),
        (order(data={"currency": "pounds"}), "data.currency"),
        (order(data={"order_id": ""}), "data.order_id"),
        (order(data={"order_id": "x" * 201}), "data.order_id"),
        (order(data={"colour": "red"}), "data.colour"),
        (without(order(), "data"), "data"),
        (without(order(), "type"), "type"),
        (order(type="order.complete"), "type"),
        (order(type="customer.merged"), "type"),
        ({**custom(a=1), "type": "custom."}, "type"),
        (order(type=5), "type"),
        (order(colour="red"), "colour"),
        (order(context={"colour": "red"}), "context.colour"),
        (order(customer_id=5), "customer_id"),
        (order(customer_id="x" * 201), "customer_id"),
        (order(customer_id="a\nb"), "customer_id"),
        (order(id=""), "id"),
        (order(occurred_at="2026-03-02T12:00:00"), "occurred_at"),
        (order(occurred_at="2026-03-02"), "occurred_at"),
        (order(occurred_at="20240101"), "occurred_at"),
        (order(occurred_at=1_700_000_000), "occurred_at"),
        (order(occurred_at="2026-03-02T13:00:01Z"), "occurred_at"),
        (order(occurred_at="1969-12-31T23:59:59Z"), "occurred_at"),
        (order(occurred_at="0001-01-01T00:00:00+14:00"), "occurred_at"),
        (custom(x={"a": 1}), "data.x"),
        (custom(x=[[1]]), "data.x.0"),
        (custom(x="y" * 20_001), "data.x"),
        (
            {"type": "survey.answered", "customer_id": "c", "data": {"survey": "csat", "score": 9}},
            "data.score",
        ),
        (
            {
                "type": "referral.made",
                "customer_id": "c",
                "data": {"referral_code": "F", "referred_id": "null"},
            },
            "data.referred_id",
        ),
    ],
)
def test_a_flaw_is_reported_at_its_exact_path(event: dict[str, Any], path: str) -> None:
    assert paths(event) == [path]
    assert paths({"events": [order(), event]}) == [f"events.1.{path}"]


def test_all_flaws_of_an_event_are_reported_at_once() -> None:
    event = order(data={"total": "-1", "colour": "red"}, customer_id=5)

    assert set(paths(event)) == {"data.total", "data.colour", "customer_id"}


@pytest.mark.parametrize(
    "name", ["NULL", " null ", "undefined", "Anonymous", "0", "000", "", " ", "-1", "None", "guest",
             "00000000-0000-0000-0000-000000000000", "[object Object]", "NaN", "-"]
)  # fmt: skip
@pytest.mark.parametrize("field", ["customer_id", "anonymous_id"])
def test_an_id_that_stands_for_nobody_is_refused(field: str, name: str) -> None:
    assert paths(without(order(), "customer_id") | {field: name}) == [field]


def test_an_event_names_somebody() -> None:
    assert flaws(without(order(), "customer_id")) == [
        ("customer_id", "customer_id or anonymous_id is needed")
    ]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"x": NaN}', "data.x"),
        ('{"x": -Infinity}', "data.x"),
        ('{"x": 1e400}', "data.x"),
        (r'{"x": "a\u0000"}', "data.x"),
        (r'{"x": "\ud800"}', "data.x"),
        (r'{"x": ["ok", "\udc00"]}', "data.x.1"),
        (r'{"\u0000": 1}', "data.\x00"),
        ('{"x": ' + "[" * 60 + "]" * 60 + "}", "data.x" + ".0" * 30),
    ],
)
def test_what_json_can_carry_and_nobody_can_use_is_refused_at_its_path(
    text: str, path: str
) -> None:
    body = '{"type":"custom.x","customer_id":"c-1","data":' + text + "}"

    assert paths(body) == [path]
    assert paths('{"events":[' + body + "]}") == [f"events.0.{path}"]


def test_an_escaped_backslash_before_u0000_is_only_text() -> None:
    assert judged(r'{"type":"custom.x","customer_id":"c-1","data":{"x":"\\u0000"}}').accepted


def test_of_duplicate_keys_the_last_counts_for_every_reader() -> None:
    (one,) = judged('{"type":"custom.x","customer_id":"a","customer_id":"b","data":{}}').accepted

    assert one.key == "b"
    assert json.loads(one.line)["customer_id"] == "b"
    assert one.line.count(b"customer_id") == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"", 400),
        (b"\xff", 400),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, 400),
        (b'{"type":"custom.x","customer_id":"c","data":{"x":' + b"9" * 5_000 + b"}}", 400),
        (b"5", 422),
        (b"[]", 422),
        (b'{"events":[]}', 422),
        (b'{"events":{}}', 422),
        (b'{"events":[{}],"sent_at":1}', 422),
        (b'{"events":[1,2,3]}', 413),
    ],
)
def test_a_body_that_cannot_be_judged_is_refused_as_a_whole(body: bytes, status: int) -> None:
    with pytest.raises(Unreadable) as refused:
        judged(body, Limits(events_max=2))
    assert refused.value.status == status


def test_an_event_larger_than_allowed_is_refused_alone() -> None:
    long = order(data={"items": [{"sku": "A" * 100, "quantity": 1, "unit_price": "1"}] * 20})

    verdicts = judged({"events": [long, order()]}, Limits(event_bytes_max=1_000))

    assert [one.place for one in verdicts.accepted] == [1]
    assert [one.reason for one in verdicts.rejected] == ["too_large"]


def test_an_event_without_an_id_gets_one_and_null_is_no_id() -> None:
    (absent,) = judged(without(order(), "id")).accepted
    (null,) = judged(order(id=None)).accepted

    assert (absent.id, null.id) == ("made-1", "made-1")
    assert json.loads(null.line)["id"] == "made-1"


def test_the_line_of_an_event_does_not_depend_on_how_it_was_spelled() -> None:
    event = order(occurred_at="2026-03-02T12:00:00+02:00", anonymous_id=None)
    shuffled = dict(reversed(event.items())) | {"occurred_at": "2026-03-02T10:00:00Z"}

    one, other = judged(json.dumps(event, indent=4)), judged(without(shuffled, "anonymous_id"))

    assert one.accepted[0].line == other.accepted[0].line


def test_a_path_never_repeats_the_value_that_was_sent() -> None:
    secret = "jane.doe@example.com"
    messages = [m for _, m in flaws(order(customer_id=[secret], data={"currency": secret}))]

    assert len(messages) == 2
    assert not any(secret in message for message in messages)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
FIELDS = st.sampled_from(["id", "type", "customer_id", "anonymous_id", "occurred_at", "extra"])
EVENTS = st.builds(
    lambda base, name, value, inner: {**base, name: value} if not inner else {
        **base, "data": {**base["data"], name: value}
    },
    st.sampled_from([order(), custom(a=1)]),
    FIELDS,
    VALUES,
    st.booleans(),
)  # fmt: skip


@given(st.lists(EVENTS, min_size=1, max_size=4))
def test_a_bad_neighbour_changes_nothing_for_the_others(events: list[dict[str, Any]]) -> None:
    """The whole-body path and the event-by-event path come to the same verdicts."""
    alone = [judged({"events": [event]}) for event in events]
    together = judged({"events": [*events, 5]})

    lines = {one.place: one.line for one in together.accepted if b"made-" not in one.line}
    for place, verdicts in enumerate(alone):
        if verdicts.accepted and b"made-" not in verdicts.accepted[0].line:
            assert lines[place] == verdicts.accepted[0].line
    assert len(together.accepted) == sum(len(one.accepted) for one in alone)
    assert len(together.rejected) == 1 + sum(len(one.rejected) for one in alone)


@given(st.recursive(VALUES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_no_json_makes_the_door_fail(value: Any) -> None:
    for body in (value, {"events": [value]}, {**custom(), "data": value}):
        with contextlib.suppress(Unreadable):
            verdicts = judged(body)
            assert verdicts.accepted or verdicts.rejected


def test_every_type_that_shops_may_send_has_a_model() -> None:
    for kind in INTAKE:
        name = kind.type_name().replace("*", "thing")
        assert class_of(name) is kind
    assert class_of("points.awarded") is None
    assert ONE.validate_python(order()).type == "order.completed"


def test_a_long_name_above_many_values_costs_no_memory_for_each() -> None:
    event = order(**{"k" * 20_000: ["\ud800"] + [0] * 30_000})
    tracemalloc.start()
    verdicts = judged(event)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not verdicts.accepted
    assert peak_bytes < 100_000_000


@pytest.mark.parametrize(
    "data",
    [
        {f"k{place}": [{}] * 200 for place in range(100)},
        {f"k{place}": {} for place in range(20_000)},
    ],
)
def test_thousands_of_errors_in_one_event_are_told_by_the_first(data: dict[str, Any]) -> None:
    verdicts = judged({"type": "custom.x", "customer_id": "c-1", "data": data})
    (rejected,) = verdicts.rejected
    assert rejected.errors[0]["path"].startswith("data.k0")
    assert len(rejected.errors) <= 20


def test_fields_behind_the_judged_beginning_are_not_called_missing() -> None:
    many = {f"k{place}": 1 for place in range(2_000)}
    verdicts = judged({**many, **order()})
    (rejected,) = verdicts.rejected
    assert {error["message"] for error in rejected.errors} == {"unknown field"}
