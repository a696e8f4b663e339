"""The generated documents say what the code says."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from shared.events.docs import asyncapi_yaml, check_docs, events_markdown, write_docs
from shared.events.registry import EVENT_CLASSES
from shared.events.topics import TOPICS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def document() -> Any:
    return yaml.safe_load(asyncapi_yaml())


def test_the_committed_documents_are_up_to_date() -> None:
    assert check_docs(ROOT) == [], "run: tenure events"


def test_a_document_that_was_edited_or_is_missing_is_named(tmp_path: Path) -> None:
    write_docs(tmp_path)
    assert check_docs(tmp_path) == []
    (tmp_path / "docs/events.md").write_text("edited by hand")
    (tmp_path / "docs/asyncapi.yaml").unlink()
    assert check_docs(tmp_path) == ["docs/events.md", "docs/asyncapi.yaml"]


def test_every_type_has_its_section_with_an_example() -> None:
    sections = events_markdown().split("\n### ")
    for event in EVENT_CLASSES:
        found = [part for part in sections if part.startswith(f"{event.type_name()}\n")]
        assert len(found) == 1, event
        assert "```json" in found[0], event


def test_links_in_the_page_lead_somewhere() -> None:
    page = events_markdown()
    anchors = {line.lstrip("# ").lower() for line in page.splitlines() if line.startswith("#")}
    targets = {part.split(")")[0] for part in page.split("](#")[1:]}
    assert targets
    assert targets <= anchors


def references(node: Any) -> set[str]:
    """All `$ref`s of a document."""
    if isinstance(node, dict):
        here = {node["$ref"]} if "$ref" in node else set()
        return here.union(*(references(value) for value in node.values()))
    if isinstance(node, list):
        return set().union(*(references(value) for value in node))
    return set()


def resolved(document: Any, reference: str) -> Any:
    node = document
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def test_every_reference_resolves(document: Any) -> None:
    found = references(document)
    assert len(found) > 100
    for reference in found:
        assert resolved(document, reference)


def test_channels_and_operations_are_the_catalogue(document: Any) -> None:
    assert list(document["channels"]) == [topic.name for topic in TOPICS]
    for topic in TOPICS:
        channel = document["channels"][topic.name]
        assert channel["x-owner"] == topic.owner
        assert channel["x-readers"] == list(topic.readers)
        assert list(channel["messages"]) == [event.__name__ for event in topic.events]
        assert document["operations"][f"{topic.owner}.sends.{topic.name}"]["action"] == "send"
        for reader in topic.readers:
            operation = document["operations"][f"{reader}.reads.{topic.name}"]
            assert operation["action"] == "receive"
            assert operation["channel"] == {"$ref": f"#/channels/{topic.name}"}


def test_examples_in_the_document_keep_to_their_payload(document: Any) -> None:
    for message in document["components"]["messages"].values():
        assert message["examples"]
        schema = {**message["payload"], "components": document["components"]}
        for example in message["examples"]:
            jsonschema.validate(example["payload"], schema)
