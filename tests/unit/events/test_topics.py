"""The catalogue of topics holds what the design promises."""

import re
from collections import Counter

import pytest

from shared.events.envelope import Event
from shared.events.registry import EVENT_CLASSES
from shared.events.topics import PUBLIC_TOPICS, SERVICES, TOPIC_OF, TOPICS, Topic

# States that last; the public contract names them so.
LASTING = {"points.pending", "delivery.failing"}
every_topic = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
every_class = pytest.mark.parametrize("event", EVENT_CLASSES)


@every_topic
def test_a_topic_carries_the_name_of_its_owner(topic: Topic) -> None:
    owner, _, rest = topic.name.partition(".")
    assert owner == topic.owner
    assert owner in SERVICES
    assert rest in {"dead", "retry", "received"} or rest.endswith("s")
    assert set(topic.readers) <= set(SERVICES)
    assert topic.readers


@every_class
def test_an_event_has_exactly_one_topic_and_so_one_writer(event: type[Event]) -> None:
    assert [topic.name for topic in TOPICS if event in topic.events] == [TOPIC_OF[event].name]


def test_no_two_classes_share_a_type() -> None:
    assert not [
        name
        for name, count in Counter(event.type_name() for event in EVENT_CLASSES).items()
        if count > 1
    ]
    assert len({topic.name for topic in TOPICS}) == len(TOPICS)


@every_class
def test_a_type_is_dotted_and_its_class_says_the_same_words(event: type[Event]) -> None:
    name = event.type_name()
    if name == "custom.*":
        return
    subject, dot, happened = name.partition(".")
    assert dot
    assert re.fullmatch(r"[a-z]+", subject)
    assert name in LASTING or re.search(r"(ed|sent|left|made|done)$", happened)
    words = "".join(word.capitalize() for word in re.split(r"[._]", name))
    assert event.__name__ == words
    assert event.__doc__


def test_every_service_has_its_dead_letters_and_its_retries() -> None:
    for service in SERVICES:
        for kind in ("dead", "retry"):
            (topic,) = [topic for topic in TOPICS if topic.name == f"{service}.{kind}"]
            assert (topic.owner, topic.readers) == (service, (service,))


def test_webhooks_hear_every_public_topic() -> None:
    assert PUBLIC_TOPICS
    assert all("webhooks" in topic.readers for topic in PUBLIC_TOPICS)


def test_what_is_compacted_is_known_for_ever() -> None:
    for topic in TOPICS:
        assert not topic.compacted or topic.retention_hours is None


def test_only_assessments_and_keys_are_known_for_ever() -> None:
    """Keys are kept whole: of a key's changes the last written need not be the latest."""
    for_ever = {topic.name: topic.compacted for topic in TOPICS if topic.retention_hours is None}
    assert for_ever == {"scoring.assessments": True, "ingest.keys": False}
