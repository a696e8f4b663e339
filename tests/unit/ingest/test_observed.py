"""What events look like, and the draft of a plan that follows; violations counted."""

from typing import Any

from services.ingest.domain import observed, plan, violations
from services.ingest.domain.checks import Allowance, checker_of
from services.ingest.domain.observed import FIELDS_MAX, Look, Observed
from services.ingest.domain.violations import Broken


def seen(*several: Any) -> dict[Look, int]:
    watch = Observed()
    for data in several:
        watch.add("custom.thing", data)
    return watch.take()


def drafted(*several: Any) -> Any:
    return observed.draft(seen(*several))["types"]["custom.thing"]["schema"]


EVENTS: list[dict[str, Any]] = [
    {"a": n, "b": "x" if n % 2 else None, "lines": [{"sku": "A", "n": n / 2}] * (n % 3), "o": {}}
    for n in range(40)
]


def test_a_draft_has_kinds_presence_and_nesting() -> None:
    assert drafted(*EVENTS, {"a": 1, "lines": [], "o": {"deep": True}}) == {
        "type": "object",
        "properties": {
            "a": {"type": "integer"},
            "b": {"type": ["null", "string"]},
            "lines": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"n": {"type": "number"}, "sku": {"type": "string"}},
                    "required": ["n", "sku"],
                },
            },
            "o": {"type": "object", "properties": {"deep": {"type": "boolean"}}},
        },
        "required": ["a", "lines", "o"],
    }


def test_a_draft_is_a_plan_that_everything_seen_obeys() -> None:
    made = observed.draft(seen(*EVENTS))

    assert plan.complaints(made) == []
    checker = checker_of(made["types"]["custom.thing"]["schema"])
    assert not [flaw for event in EVENTS for flaw in checker.flaws(event, Allowance())]
    assert checker.flaws({"a": "text"}, Allowance())


def test_few_events_make_nothing_required() -> None:
    assert "required" not in drafted(*[{"a": 1}] * 19)
    assert drafted(*[{"a": 1}] * 20)["required"] == ["a"]


def test_neither_values_nor_names_that_might_be_values_are_kept() -> None:
    looks = seen({"email": "mary@example.org", "mary@example.org": 1, "4711 0815": {"a": "x"}})

    assert {look.field for look in looks} == {"", "email"}


def test_what_is_kept_is_bounded() -> None:
    deep: Any = 1
    for _ in range(50):
        deep = {"a": deep}
    looks = seen({f"f{n}": [1] * 1_000 for n in range(5_000)}, deep)

    assert len({look.field for look in looks}) <= FIELDS_MAX
    assert max(looks.values()) <= 20
    watch = Observed()
    for number in range(1_000):
        watch.add(f"custom.t{number}", {})
    assert len(watch.take()) == observed.TYPES_MAX
    assert watch.take() == {}


def test_fields_without_their_parents_are_left_out_of_a_draft() -> None:
    looks = {Look("custom.a", "x.y", "string"): 5, Look("custom.b", "", "object"): 5}

    assert list(observed.draft(looks)["types"]) == ["custom.b"]


def test_violations_are_counted_by_kind_with_the_newest_examples() -> None:
    broken = [Broken("t", "data.b", "type", f"e-{n}") for n in range(5)]
    broken += [Broken("t", "data.a", "type", None, "r-1"), Broken("t", "data.b", "type", "e-4")]

    first, second = violations.count(broken, examples_max=2)

    assert (first.field, first.warned, first.rejected) == ("data.a", 0, 1)
    assert (first.event_ids, first.rejection_ids) == ([], ["r-1"])
    assert (second.warned, second.event_ids) == (6, ["e-4", "e-3"])
