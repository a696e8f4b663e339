"""Every type and version ever published stays readable: the golden examples parse for ever."""

import json
from typing import Any

import jsonschema
import pytest

from shared.events.docs import examples, json_schemas
from shared.events.envelope import Event
from shared.events.registry import (
    EVENT_CLASSES,
    FutureVersion,
    InvalidEvent,
    UnknownType,
    class_of,
    parse,
)

GOLDEN = examples()
every_example = pytest.mark.parametrize("name", GOLDEN)


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


@every_example
def test_a_golden_example_parses_and_comes_back_unchanged(name: str) -> None:
    event = parse(encoded(GOLDEN[name]))
    assert parse(event.to_json()) == event
    if event.schemaversion == GOLDEN[name]["schemaversion"]:
        assert json.loads(event.to_json()) == GOLDEN[name]


@every_example
def test_the_header_only_saves_time(name: str) -> None:
    value = encoded(GOLDEN[name])
    assert parse(value, GOLDEN[name]["type"]) == parse(value)
    assert parse(value, "a.lie") == parse(value, "order.completed") == parse(value)


@every_example
def test_the_file_is_named_after_its_type_and_version(name: str) -> None:
    assert name == f"{GOLDEN[name]['type']}.v{GOLDEN[name]['schemaversion']}"


@pytest.mark.parametrize("event", EVENT_CLASSES)
def test_every_version_of_every_class_has_an_example(event: type[Event]) -> None:
    versions = {
        example["schemaversion"]
        for example in GOLDEN.values()
        if class_of(example["type"]) is event
    }
    assert versions == set(range(1, event.VERSION + 1))


@every_example
def test_fields_of_a_newer_writer_are_ignored(name: str) -> None:
    newer = GOLDEN[name] | {"traceparent": "00-1-1-01"}
    newer["data"] = newer["data"] | {"not_known_yet": {"a": [1]}}
    assert parse(encoded(newer)) == parse(encoded(GOLDEN[name]))


@every_example
def test_a_newer_version_is_told_apart_from_a_broken_record(name: str) -> None:
    future = encoded(GOLDEN[name] | {"schemaversion": 99})
    for header in (None, GOLDEN[name]["type"]):
        with pytest.raises(FutureVersion, match="99"):
            parse(future, header)


def strings_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all strings inside a value."""
    if isinstance(value, str):
        return [path]
    if not isinstance(value, dict | list):
        return []
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    return [found for key, part in inside for found in strings_of(part, (*path, key))]


@every_example
def test_a_nul_is_refused_wherever_a_string_stands(name: str) -> None:
    for path in strings_of(GOLDEN[name]):
        broken = json.loads(encoded(GOLDEN[name]))
        holder = broken
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] += "\x00"
        for header in (None, GOLDEN[name]["type"]):
            with pytest.raises((InvalidEvent, UnknownType)):
                parse(encoded(broken), header)


@every_example
def test_an_example_keeps_to_the_published_schema(name: str) -> None:
    schema = json_schemas()[class_of(GOLDEN[name]["type"]).type_name()]
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(GOLDEN[name], schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(GOLDEN[name] | {"subject": 7}, schema)
