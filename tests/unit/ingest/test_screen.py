"""The quick look passes nothing that the full look would refuse, and writes the same lines."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, field_validator

from services.ingest.api.events import event_types
from services.ingest.domain.intake import BATCH, ONE, to_line
from services.ingest.domain.screen import _dictionary_of, line_of, plain_events
from tests.unit.ingest.cases import custom, order

EXAMPLES = {one.type: one.example for one in event_types()}
# Spellings that some part of the language takes, and some that none does.
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 12, 12.5, 1e-7, 1e300, 2**63 - 1, 2**63, 2**70, "", " ", "0", "-0", "00",
    "1.", ".5", "12.50", "0012.5", "1e3", "1234567890123", "0.0000001", "0.000000", "NaN", "٣",
    "x" * 201,
    "\x7f", "\u2028", "é\U0001f600", "a\tb", "GBP", "email", "true", "2026-03-02T12:00:00Z",
    "2026-03-02T12:00:00.1Z", "2026-03-02T12:00:00.123456+00:00", "2026-03-02T12:00:00+02:00",
    "2026-03-02T12:00Z", "2026-03-02t12:00:00z", "2026-02-30T12:00:00Z", "2026-03-02T24:00:00Z",
    "2026-03-02T12:00:60Z", "2026-03-02T12:00:00-00:00", "9999-12-31T23:59:59-12:00", "2026-03-02",
    "1800-01-01T00:00:00Z", "20240101", "1700000000", 1_700_000_000, [], {}, [1], ["a", None],
    {"a": None}, {"email": {"offers": "yes"}},
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a JSON value."""
    yield path
    if isinstance(value, dict | list):
        named = value.items() if isinstance(value, dict) else enumerate(value)
        for name, inner in named:
            yield from places(inner, (*path, name))


def with_odd(event: dict[str, Any], path: tuple[Any, ...], odd: Any) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(event))
    target: Any = copy
    for name in path[:-1]:
        target = target[name]
    target[path[-1]] = odd
    return copy


@st.composite
def odd_events(draw: st.DrawFn) -> dict[str, Any]:
    event: dict[str, Any] = draw(st.sampled_from(list(EXAMPLES.values())))
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from([one for one in places(event) if one]))
        event = with_odd(event, path, draw(st.sampled_from(ODD) | st.text(max_size=5)))
    return event


@pytest.mark.parametrize("kind", EXAMPLES)
def test_an_event_of_every_type_in_its_plain_spelling_passes(kind: str) -> None:
    body = json.dumps(EXAMPLES[kind]).encode()
    passed = plain_events(body, is_batch=False)
    assert passed is not None
    assert line_of(passed.events[0]) == to_line(ONE.validate_json(body, extra="forbid"))


@given(odd_events())
def test_what_passes_is_valid_and_its_line_is_that_of_the_full_look(event: dict[str, Any]) -> None:
    body = json.dumps(event).encode(errors="surrogatepass")
    passed = plain_events(body, is_batch=False)
    if passed is not None:
        assert line_of(passed.events[0]) == to_line(ONE.validate_json(body, extra="forbid"))


@given(st.lists(odd_events(), min_size=1, max_size=3))
def test_so_it_is_in_a_batch(events: list[dict[str, Any]]) -> None:
    body = json.dumps({"events": events}).encode(errors="surrogatepass")
    passed = plain_events(body, is_batch=True)
    if passed is not None:
        whole = BATCH.validate_json(body, extra="forbid").events
        assert [line_of(one) for one in passed.events] == [to_line(one) for one in whole]


@pytest.mark.parametrize(
    "event",
    [
        order(data={"total": 12.5}),
        order(data={"total": "1e2"}),
        order(data={"coupon": None}),
        order(occurred_at="2026-03-02T12:00:00+02:00"),
        order(occurred_at="1700000000"),
        custom(big=2**64),
        order(colour="red"),
        order(type="order.complete"),
    ],
)
def test_other_spellings_are_left_to_the_full_look(event: dict[str, Any]) -> None:
    assert plain_events(json.dumps(event).encode(), is_batch=False) is None


def test_a_model_with_validators_of_its_own_cannot_be_screened() -> None:
    class Careful(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def _check(cls, name: str) -> str:
            return name

    with pytest.raises(TypeError, match="Careful has validators of its own"):
        _dictionary_of(Careful)
