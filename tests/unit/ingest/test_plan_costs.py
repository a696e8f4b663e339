"""What a tracking plan may cost: a whole request, and a whole batch, whatever is posted."""

import time
from typing import Any

import pytest

from services.ingest.domain import plan
from services.ingest.domain.intake import ONE
from services.ingest.domain.verdict import Limits
from services.ingest.handlers.opening import Received
from services.ingest.handlers.plans import warned
from tests.unit.ingest.cases import NOON, custom, judged, order


def limits(schema: Any, mode: str = "reject", kind: str = "custom.thing") -> Limits:
    document = {"types": {kind: {"mode": mode, "schema": schema}}}
    assert plan.complaints(document) == []
    return Limits(plan=plan.ready(1, document))


COSTLY: dict[str, tuple[Any, Any, int]] = {
    "values": ({"properties": {"a": {"items": {"type": "string"}}}}, {"a": ["x"] * 1_000}, 250),
    "alternatives": (
        {"properties": {"a": {"items": {"anyOf": [{"type": "null"}] * 19 + [{"type": "string"}]}}}},
        {"a": ["x"] * 1_000},
        25,
    ),
    "one of": (
        {"properties": {"a": {"items": {"oneOf": [{"enum": [1]}] * 19 + [{"enum": ["x"]}]}}}},
        {"a": ["x"] * 1_000},
        25,
    ),
    "patterns": ({"properties": {"a": {"allOf": [{"pattern": "(a|b)*c"}] * 20}}},
                 {"a": "a" * 8_000}, 250),
    "names": ({"anyOf": [{"required": ["a"] * 999 + ["x"]}] * 20}, {"a": 1}, 2_500),
    "constants": (
        {"properties": {"a": {"anyOf": [{"const": ["x"] * 999 + ["y"]}] * 20}}},
        {"a": ["x"] * 1_000},
        25,
    ),
}  # fmt: skip


def costly(name: str, mode: str) -> tuple[dict[str, Any], Limits]:
    """A request at the bounds of what a plan allows, and that plan."""
    schema, data, events = COSTLY[name]
    body = {"events": [custom(**data) | {"id": f"e-{n}"} for n in range(events)]}
    return body, limits(schema, mode)


@pytest.mark.parametrize("name", COSTLY)
def test_a_request_at_the_bounds_of_the_plan_costs_the_door_a_second_at_most(name: str) -> None:
    body, planned = costly(name, "reject")
    began = time.process_time()
    judged(body)
    without = time.process_time() - began

    began = time.process_time()
    verdicts = judged(body, planned)

    assert time.process_time() - began - without < 1
    last = verdicts.rejected[-1]
    assert (last.place, last.errors[-1]["rule"]) == (len(body["events"]) - 1, "size")


@pytest.mark.parametrize("name", COSTLY)
def test_a_batch_at_the_bounds_of_the_plan_costs_admission_a_second_at_most(name: str) -> None:
    body, planned = costly(name, "warn")
    received = [
        Received(ONE.validate_python(one), one["id"], "s", NOON, NOON) for one in body["events"]
    ]
    assert planned.plan is not None
    began = time.process_time()

    broken = warned(planned.plan, received)

    assert time.process_time() - began < 1
    assert ("size", f"e-{len(received) - 1}") in [(one.rule, one.event_id) for one in broken]


def test_an_event_that_exceeds_its_own_allowance_leaves_some_to_its_neighbours() -> None:
    large = custom(a=["x"] * 5_000)
    schema = {"properties": {"a": {"items": {"allOf": [{"type": "string"}] * 20}}}}

    (one,) = judged({"events": [large, custom(a=["x"])]}, limits(schema)).rejected

    assert (one.place, one.errors[0]["rule"]) == (0, "size")


def test_a_large_request_of_orders_is_within_the_allowance() -> None:
    line = {"sku": "A", "quantity": 1, "unit_price": "2.00"}
    schema = {
        "type": "object",
        "required": ["order_id"],
        "properties": {
            "total": {"pattern": "^[0-9.]+$"},
            "currency": {"enum": ["GBP", "EUR"]},
            "items": {"items": {"required": ["sku"], "properties": {"quantity": {"minimum": 1}}}},
        },
    }
    planned = limits(schema, kind="order.completed")
    many = {"events": [order(id=f"e-{n}", data={"items": [line] * 10}) for n in range(2_500)]}

    assert not judged(many, planned).rejected
    assert not judged(order(data={"items": [line] * 2_000}), planned).rejected
