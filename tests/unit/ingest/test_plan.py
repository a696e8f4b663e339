"""Tracking plans: which are refused, and what they find in events."""

import json
import time
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain import plan
from services.ingest.domain.checks import Allowance, checker_of
from services.ingest.domain.schema import DIALECT, Inspection
from services.ingest.domain.verdict import Limits
from tests.unit.ingest.cases import custom, judged, order

PAPER = {
    "type": "object",
    "properties": {
        "paper": {"enum": ["red", "gold"]},
        "count": {"type": "integer", "minimum": 1},
        "code": {"type": "string", "pattern": "^[A-Z]{3}$", "maxLength": 3},
    },
    "required": ["paper"],
    "additionalProperties": False,
}


def document(mode: str = "reject", schema: Any = PAPER, **given: Any) -> dict[str, Any]:
    return {"types": {"custom.thing": {"mode": mode, "schema": schema}}, **given}


def limits(wanted: dict[str, Any]) -> Limits:
    assert plan.complaints(wanted) == []
    return Limits(plan=plan.ready(1, wanted))


def found(schema: Any, data: Any) -> list[tuple[str, str | None, str]]:
    assert Inspection().complaints(schema, "s") == []
    return [(one.path, one.rule, one.field) for one in checker_of(schema).flaws(data, Allowance())]


def complained(schema: Any) -> list[str]:
    return [error["path"] for error in Inspection().complaints(schema, "s")]


@pytest.mark.parametrize(
    ("data", "flaw"),
    [
        ({}, ("data.paper", "required", "data.paper")),
        ({"paper": "blue"}, ("data.paper", "enum", "data.paper")),
        ({"paper": "red", "count": 0}, ("data.count", "minimum", "data.count")),
        ({"paper": "red", "count": True}, ("data.count", "type", "data.count")),
        ({"paper": "red", "code": "abc"}, ("data.code", "pattern", "data.code")),
        ({"paper": "red", "mary@x": 1}, ("data.mary@x", "additionalProperties", "data.*")),
    ],
)
def test_a_violation_has_an_exact_path_a_rule_and_its_place_in_the_plan(
    data: Any, flaw: tuple[str, str, str]
) -> None:
    assert found(PAPER, data) == [flaw]


def test_places_in_the_plan_are_as_few_as_the_plan_has_whatever_is_posted() -> None:
    inner = {"type": "object", "properties": {"items": {"type": "string"}}, "required": ["sku"]}
    schema = {
        "properties": {
            "lines": {"type": "array", "items": inner},
            "free": {"additionalProperties": {"type": "integer"}},
        },
        "allOf": [{"properties": {"lines": {"maxItems": 2}}}],
    }

    flaws = found(schema, {"lines": [{"items": 5}] * 3, "free": {"a": "x", "b": "y"}})

    assert {(rule, field) for _, rule, field in flaws} == {
        ("required", "data.lines.*.sku"),
        ("type", "data.lines.*.items"),
        ("type", "data.free.*"),
        ("maxItems", "data.lines"),
    }
    assert "data.lines.2.items" in [path for path, _, _ in flaws]


def test_messages_tell_no_values_of_events() -> None:
    schema = {
        "properties": {
            "a": {"type": "integer"},
            "b": {"enum": ["x"]},
            "c": {"pattern": "^x"},
            "d": {"maxLength": 1},
            "e": {"anyOf": [{"type": "null"}]},
            "f": {"not": {"type": "string"}},
            "g": {"const": "x"},
        }
    }
    data = dict.fromkeys("abcdefg", "secret")

    flaws = checker_of(schema).flaws(data, Allowance())

    assert len(flaws) == 7
    assert not [one for one in flaws if "secret" in f"{one.message} {one.path}"]


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"$ref": "http://example.org/schema.json"}, "s.$ref"),
        ({"properties": {"a": {"$ref": "#"}}}, "s.properties.a.$ref"),
        ({"$dynamicRef": "#x"}, "s.$dynamicRef"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "s.$schema"),
        ({"format": "email"}, "s.format"),
        ({"patternProperties": {"(a+)+$": {}}}, "s.patternProperties"),
        ({"uniqueItems": True}, "s.uniqueItems"),
        ({"requird": ["a"]}, "s.requird"),
        ({"type": "strnig"}, "s.type"),
        ({"type": []}, "s.type"),
        ({"required": "a"}, "s.required"),
        ({"properties": []}, "s.properties"),
        ({"properties": {"a": True}}, "s.properties.a"),
        ({"items": []}, "s.items"),
        ({"anyOf": []}, "s.anyOf"),
        ({"enum": []}, "s.enum"),
        ({"enum": list(range(501))}, "s.enum"),
        ({"enum": [{}]}, "s.enum"),
        ({"minLength": -1}, "s.minLength"),
        ({"maxItems": True}, "s.maxItems"),
        ({"minimum": "1"}, "s.minimum"),
        ({"maximum": float("inf")}, "s.maximum"),
        ({"pattern": 5}, "s.pattern"),
        ({"pattern": "("}, "s.pattern"),
        ({"pattern": "(?=a)b"}, "s.pattern"),
        ({"pattern": r"(a)\1"}, "s.pattern"),
        ({"pattern": "x" * 201}, "s.pattern"),
        ({"pattern": "(a{1,50}){3}"}, "s.pattern"),
        ({"pattern": "a{0}(b{9}){99}"}, "s.pattern"),
        ({"anyOf": [{}] * 21}, "s.anyOf"),
        ([], "s"),
    ],
)
def test_a_hostile_or_mistaken_schema_is_refused_with_the_place(schema: Any, path: str) -> None:
    assert complained(schema) == [path]


def test_schemas_are_bounded_in_size_depth_and_patterns() -> None:
    deep: Any = {}
    for _ in range(20):
        deep = {"items": deep}
    assert len(complained(deep)) == 1
    assert complained({"properties": {f"p{n}": {} for n in range(1_001)}})
    inspection = Inspection()
    one = {"properties": {f"p{n}": {"pattern": "a"} for n in range(100)}}
    assert not inspection.complaints(one, "s")
    assert inspection.complaints({"pattern": "a"}, "s")


def test_a_pattern_that_backtracks_elsewhere_takes_linear_time_here() -> None:
    checker = checker_of({"properties": {"a": {"pattern": "^(a+)+$"}}})
    began = time.process_time()

    assert checker.flaws({"a": "a" * 20_000 + "b"}, Allowance())

    assert time.process_time() - began < 1


def test_a_dialect_named_within_leads_to_no_other_rules() -> None:
    inner = {"$schema": DIALECT, "pattern": "^(a+)+$"}
    began = time.process_time()

    assert found({"properties": {"a": inner}}, {"a": "a" * 28 + "b"})

    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("members", "refused"),
    [
        ({"type": "string"}, False),
        ({"enum": [*range(499), "x"]}, False),
        ({"anyOf": [{"type": "null"}] * 19 + [{"type": "string"}]}, True),
    ],
)
def test_a_list_without_end_takes_a_bounded_time(members: Any, refused: bool) -> None:
    began = time.process_time()

    flaws = found({"properties": {"a": {"items": members}}}, {"a": ["x"] * 40_000})

    assert [rule for _, rule, _ in flaws] == (["size"] if refused else [])
    assert time.process_time() - began < 2
    assert found({"items": {}}, ["x"] * 60_000) == [("data", "size", "data")]


SIMPLE = st.recursive(
    st.sampled_from(
        [
            {},
            {"type": "string"},
            {"minimum": 1},
            {"enum": [1, False, None, "a"]},
            {"not": {"enum": [0]}},
            {"type": ["integer", "null"]},
            {"type": "number"},
            {"exclusiveMaximum": 1, "maximum": 1},
            {"minLength": 1, "maxItems": 2, "minProperties": 1},
            {"const": [1, {"a": True}]},
            {"const": 1},
            {"pattern": "a$"},
        ]
    ),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"items": inner}),
        st.dictionaries(
            st.sampled_from(["anyOf", "oneOf", "allOf"]),
            st.lists(inner, min_size=1, max_size=2),
            min_size=1,
        ),
        st.fixed_dictionaries({"not": inner}),
        st.fixed_dictionaries(
            {
                "properties": st.fixed_dictionaries({"a": inner}),
                "required": st.sampled_from([[], ["a"], ["b"]]),
                "additionalProperties": st.one_of(st.booleans(), inner),
            }
        ),
    ),
    max_leaves=5,
)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-2, 2),
        st.sampled_from([0.5, 1.0]),
        st.text("ab", max_size=2),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(SIMPLE, VALUES)
def test_the_subset_says_what_the_library_says(schema: Any, value: Any) -> None:
    valid = jsonschema.Draft202012Validator(schema).is_valid(value)

    assert (found(schema, value) == []) == valid


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ([], "plan.types"),
        ({}, "plan.types"),
        (document(extra=1), "plan.extra"),
        (document(unplanned="maybe"), "plan.unplanned"),
        (document(mode="maybe"), "plan.types.custom.thing.mode"),
        ({"types": {"custom.thing": {"mode": "warn"}}}, "plan.types.custom.thing.schema"),
        ({"types": {"custom.thing": 5}}, "plan.types.custom.thing"),
        (
            {"types": {"order.complete": {"mode": "warn", "schema": {}}}},
            "plan.types.order.complete",
        ),
        ({"types": {"custom.": {"mode": "warn", "schema": {}}}}, "plan.types.custom."),
        ({"types": {"custom.A b": {"mode": "warn", "schema": {}}}}, "plan.types.custom.A b"),
        (document(schema={"const": "\x00"}), "plan.types.custom.thing.schema.const"),
        (document(schema={"const": float("nan")}), "plan.types.custom.thing.schema.const"),
        (document(schema={"type": "x"}), "plan.types.custom.thing.schema.type"),
    ],
)
def test_a_plan_that_is_none_is_refused_with_the_place(wanted: Any, path: str) -> None:
    assert [error["path"] for error in plan.complaints(wanted)] == [path]


def test_a_plan_without_end_is_refused() -> None:
    deep: Any = {}
    for _ in range(5_000):
        deep = {"not": deep}
    types = {f"custom.t{n}": {"mode": "warn", "schema": {}} for n in range(501)}

    assert len(plan.complaints(document(schema=deep))) == 1
    assert [error["path"] for error in plan.complaints({"types": types})] == ["plan.types"]


def test_the_door_refuses_what_breaks_a_type_in_mode_reject() -> None:
    event = custom(paper="blue")

    (one,) = judged({"events": [custom(paper="red"), event]}, limits(document())).rejected

    assert (one.place, one.reason, one.type) == (1, "plan_violation", "custom.thing")
    assert one.errors == [
        {
            "path": "events.1.data.paper",
            "message": "must be one of the values of the tracking plan",
            "rule": "enum",
            "field": "data.paper",
        }
    ]
    assert json.loads(one.body) == event


@pytest.mark.parametrize("mode", ["allow", "warn"])
def test_the_door_lets_other_modes_and_types_pass(mode: str) -> None:
    body = {"events": [custom(paper="blue"), order()]}

    assert not judged(body, limits(document(mode=mode, unplanned="warn"))).rejected
    assert not judged({"events": [order()]}, limits(document())).rejected


def test_a_type_that_is_not_planned_is_refused_when_the_plan_says_so() -> None:
    (one,) = judged(order(), limits(document(unplanned="reject"))).rejected

    assert one.errors[0]["path"] == "type"
    assert (one.errors[0]["rule"], one.errors[0]["field"]) == ("unplanned", "type")


def test_a_built_in_type_is_checked_as_it_is_published() -> None:
    data = {
        "properties": {
            "total": {"type": "string", "pattern": r"^[0-9]+\.[0-9]{2}$"},
            "items": {"items": {"required": ["category"]}},
        }
    }
    wanted = {"types": {"order.completed": {"mode": "reject", "schema": data}}}
    body = order(data={"total": 12.99, "items": [{"sku": "A", "quantity": 1, "unit_price": 1}]})

    (one,) = judged(body, limits(wanted)).rejected

    assert [error["path"] for error in one.errors] == ["data.items.0.category"]


def test_a_plan_that_asks_nothing_costs_nothing() -> None:
    assert plan.ready(1, {"types": {}}) is None
    assert plan.ready(1, document(mode="allow")) is None
    assert plan.ready(1, {"types": {}, "unplanned": "warn"}) is not None
