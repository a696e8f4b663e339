"""No row of the outbox is larger than a broker takes: it would hold up all behind it."""

import json

import pytest

from shared.events.engagement import CustomEvent
from shared.runtime.dead import DeadLetter, row_of_dead, was_left_out
from shared.runtime.log import Record
from shared.runtime.outbox import VALUE_BYTES_MAX, row_of
from shared.testing.builders import NOON, event

NEAR_THE_LIMIT = 1_040_000


def test_a_dead_letter_near_the_brokers_limit_tells_its_place_only() -> None:
    record = Record("ingest.events", 3, 7, b"k", b"x" * NEAR_THE_LIMIT)
    row = row_of_dead(DeadLetter.of(record, "InvalidEvent", "not JSON"), "loyalty", NOON)
    assert row.value is None
    assert f"{NEAR_THE_LIMIT} bytes" in row.headers
    assert '"tenure-original-offset": "7"' in row.headers
    headers = tuple((name, text.encode()) for name, text in json.loads(row.headers).items())
    # Sent again it would be a tombstone, which says something else.
    assert was_left_out(Record(row.topic, 0, 0, row.key, row.value, headers))


def test_a_tombstone_that_could_not_be_handled_can_be_sent_again() -> None:
    record = Record("ingest.keys", 0, 7, b"k", None)
    row = row_of_dead(DeadLetter.of(record, "KeyError", "no such key"), "loyalty", NOON)
    headers = tuple((name, text.encode()) for name, text in json.loads(row.headers).items())
    assert not was_left_out(Record(row.topic, 0, 0, row.key, row.value, headers))


def test_an_event_too_large_for_a_record_is_refused_where_it_is_published() -> None:
    properties = {f"p{n}": "x" * 20_000 for n in range(50)}
    large = event(CustomEvent, properties=properties)
    assert len(large.to_json()) > VALUE_BYTES_MAX
    with pytest.raises(ValueError, match=r"has \d+ bytes"):
        row_of(large)
