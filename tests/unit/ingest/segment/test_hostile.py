"""No input whatever makes a call fail: it is judged, at its exact path, within bounds."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.flaws import REASONS
from services.ingest.domain.intake import ONE
from services.ingest.domain.segment.calls import KINDS, Kind
from services.ingest.domain.segment.catalogue import KNOWN
from services.ingest.domain.verdict import Unreadable
from tests.unit.ingest.segment.cases import (
    bought,
    call,
    event_of,
    flaws,
    judged,
    paths,
    track,
)


@pytest.mark.parametrize(
    ("properties", "path"),
    [
        ({"x": float("nan")}, "properties.x"),
        ({"x": float("-inf")}, "properties.x"),
        ({"x": [1, float("nan")]}, "properties.x.1"),
        ({"x": [{"y": float("nan")}]}, "properties.x.0.y"),
        ({"x": "a\x00"}, "properties.x"),
        ({"x": "\ud800"}, "properties.x"),
        ({"x": "y" * 20_001}, "properties.x"),
        ({"y" * 201: 1}, "properties." + "y" * 201),
        ({str(n): n for n in range(202)}, "properties.201"),
        ([], "properties"),
        ("text", "properties"),
        (5, "properties"),
    ],
)
def test_what_nobody_can_use_is_refused_at_its_path(properties: Any, path: str) -> None:
    assert paths(track("x", properties)) == [path]


@pytest.mark.parametrize(
    ("digits", "is_finite"),
    [("1e400", False), ("-1e999999999999999999999", False), ("NaN", False), ("9" * 400, True)],
)
def test_numbers_beyond_all_bounds_are_no_money_and_none_at_all_when_infinite(
    digits: str, is_finite: bool
) -> None:
    calls = [bought(revenue="HERE"), track("x", {"a": ["HERE"]}), track("y")]
    verdicts = judged(json.dumps({"batch": calls}).replace('"HERE"', digits))

    refused = [error["path"] for one in verdicts.rejected for error in one.errors]
    free = [] if is_finite else ["batch.1.properties.a.0"]
    assert refused == ["batch.0.properties.revenue", *free]
    assert verdicts.accepted[-1].place == 2


def test_long_names_above_many_values_cost_no_memory_for_each() -> None:
    inner = {f"k{n}": n for n in range(3_000)}
    calls = [track("x", {"n" * 10_000: {"m" * 190: inner}, "o" * 190: inner})] * 20
    tracemalloc.start()
    verdicts = judged(calls, call_bytes_max=10**6)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(verdicts.rejected) == 20
    assert peak_bytes < 50_000_000


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize("depth", [20, 300, 900])
def test_deep_nesting_is_refused_wherever_it_matters_and_passed_over_elsewhere(depth: int) -> None:
    assert "nested deeper" in flaws(track("x", nested(depth)))[0][1]
    assert "nested deeper" in flaws(track("x", {"l": [nested(depth)]}))[0][1]
    assert "nested deeper" in flaws(call("identify", traits=nested(depth)))[0][1]
    assert event_of(track("x", nobody_reads=nested(depth), context=nested(depth)))


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"5", b"[]", b"\xff", b"{}", b'{"batch": {}}', b'{"batch": ' + b"[" * 5_000,
     b'{"batch": [' + b"9" * 5_000 + b"]}", b'{"batch": [1, 2, 3]}'],
)  # fmt: skip
def test_a_body_that_cannot_be_judged_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(Unreadable) as refused:
        judged(body, calls_max=2)
    assert refused.value.status == 400


def test_a_byte_order_mark_is_passed_over() -> None:
    assert judged(b"\xef\xbb\xbf" + json.dumps(track("x")).encode(), "track").accepted


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([10**400, "\ud800", "\x00", "1e999999999", "-0", "NaN", 1e-300, "null"])
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
NAMES = st.sampled_from(
    ["type", "messageId", "userId", "anonymousId", "previousId", "groupId", "event", "name",
     "category", "timestamp", "originalTimestamp", "context", "properties", "traits", "channel"]
)  # fmt: skip
INNER = st.sampled_from(
    ["order_id", "products", "revenue", "subtotal", "total", "tax", "currency", "discount", "price",
     "quantity", "sku", "rating", "value", "cart_id", "email_id", "email", "phone", "birthday",
     "createdAt", "company", "address", "consent", "name", "traits", "page", "url", "device"]
)  # fmt: skip


@st.composite
def odd_calls(draw: st.DrawFn) -> Any:
    kind = draw(st.sampled_from(KINDS))
    one = call(kind, event=draw(st.sampled_from([known.name for known in KNOWN])))
    one |= {"groupId": "g", "previousId": "p"} if draw(st.booleans()) else {}
    for part in ("properties", "traits", "context"):
        one[part] = draw(st.dictionaries(INNER, ODD, max_size=5))
    one["properties"]["products"] = draw(st.lists(st.dictionaries(INNER, ODD, max_size=4)))
    return one | draw(st.dictionaries(NAMES, ODD, max_size=2))


@given(st.lists(odd_calls() | ODD, min_size=1, max_size=4), st.sampled_from([None, *KINDS]))
def test_no_input_makes_it_fail_and_what_is_accepted_is_valid(
    calls: list[Any], kind: Kind | None
) -> None:
    for body in [{"batch": calls}] if kind is None else [one for one in calls if type(one) is dict]:
        verdicts = judged(body, kind)
        assert len(verdicts.accepted) + len(verdicts.rejected) == len(
            calls if kind is None else [1]
        )
        for one in verdicts.accepted:
            assert ONE.validate_json(one.line, extra="forbid").id == one.id
        for refused in verdicts.rejected:
            assert refused.errors
            assert refused.reason in REASONS
            json.dumps(refused.errors, ensure_ascii=False).encode()
