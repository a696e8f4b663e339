"""Bundles: what travels as one record, and what a dead letter of one event is."""

import json

import pytest

from services.ingest.domain import bundle
from services.ingest.domain.verdict import Accepted
from services.ingest.handlers.opening import Received, Refused, Unreadable, open_bundle
from shared.clock import EPOCH
from shared.runtime.log import Record
from tests.unit.ingest.cases import NOON, judged, order

HEADER = bundle.header_line(
    verdict="accepted", source="/sources/k", request="req_1", received_at=NOON, default_at=NOON
)


def record(value: bytes | None) -> Record:
    return Record("ingest.received", 0, 0, b"c-1", value)


def accepted(place: int, key: str, line: bytes = b"{}") -> Accepted:
    return Accepted(place, f"e-{place}", key, line)


def test_events_that_share_a_partition_travel_together_in_order() -> None:
    events = [accepted(place, key, key.encode()) for place, key in enumerate("abcab")]

    groups = list(bundle.group(events, lambda key: key[0] % 2, 1_000))

    assert groups == [(b"a", [b"a", b"c", b"a"]), (b"b", [b"b", b"b"])]


def test_a_bundle_is_cut_where_it_would_grow_too_large_and_keyed_by_its_first_event() -> None:
    events = [accepted(place, key, b"x" * 40) for place, key in enumerate("abcd")]

    groups = list(bundle.group(events, lambda _: 0, 100))

    assert [(key, len(lines)) for key, lines in groups] == [(b"a", 2), (b"c", 2)]


def test_each_line_is_a_message_and_alone_a_bundle_again() -> None:
    lines = [one.line for one in judged({"events": [order(), order(id="e-2")]}).accepted]

    messages = open_bundle(record(bundle.pack(HEADER, lines)))

    assert [one.event_id for one in messages] == ["e-1", "e-2"]
    assert all(isinstance(one.event, Received) for one in messages)
    (again,) = open_bundle(record(messages[1].raw))
    assert (again.key, again.content_hash) == (messages[1].key, messages[1].content_hash)


def test_the_hash_of_an_event_does_not_know_when_it_came() -> None:
    line = judged(order()).accepted[0].line
    later = HEADER.replace(b"12:00:00", b"13:00:00")

    (first,) = open_bundle(record(bundle.pack(HEADER, [line])))
    (second,) = open_bundle(record(bundle.pack(later, [line])))

    assert first.content_hash == second.content_hash
    assert first.key == second.key
    assert first.event.received_at != second.event.received_at


def test_a_line_that_cannot_be_read_leaves_the_others_readable() -> None:
    good = judged(order()).accepted[0].line

    messages = open_bundle(record(bundle.pack(HEADER, [b'{"type":"moon.landed"}', good])))

    assert [type(one.event) for one in messages] == [Unreadable, Received]
    assert messages[0].time == EPOCH


@pytest.mark.parametrize(
    "value",
    [b"", b"nonsense", b"{}\n{}", HEADER.replace(b'"bundle":1', b'"bundle":99') + b"\n{}"],
)
def test_what_is_no_bundle_of_ours_is_an_error(value: bytes) -> None:
    with pytest.raises(ValueError, match="bundle"):
        open_bundle(record(value))


def test_a_tombstone_holds_nothing() -> None:
    assert open_bundle(record(None)) == ()


def test_a_refused_event_keeps_what_was_sent_up_to_a_bound() -> None:
    (refused,) = judged(order(customer_id="null")).rejected
    header = HEADER.replace(b'"accepted"', b'"rejected"')

    (message,) = open_bundle(record(bundle.pack(header, [bundle.refused_line(refused, 20)])))

    assert isinstance(message.event, Refused)
    assert message.event.rejection.reason == "illegal_id"
    assert message.event.rejection.body == refused.body[:20]
    assert message.time == EPOCH


def test_a_refused_line_can_carry_what_was_refused_for_its_text() -> None:
    body = r'{"type":"custom.x","customer_id":"c","data":{"\ud800":"\u0000"}}'
    (refused,) = judged(body).rejected

    line = bundle.refused_line(refused, 1_000)

    assert json.loads(json.loads(line)["body"])["data"] == {"\ud800": "\x00"}


def test_no_event_can_take_the_place_of_a_refusal_among_the_ids_that_were_seen() -> None:
    (refused,) = judged(order(customer_id="null")).rejected
    header = HEADER.replace(b'"accepted"', b'"rejected"')
    (message,) = open_bundle(record(bundle.pack(header, [bundle.refused_line(refused, 20)])))
    said = bundle.below("/sources/k", "rejections").encode()
    line = judged(order(id=message.event_id)).accepted[0].line

    posing = HEADER.replace(b'"/sources/k"', b'"' + said + b'"')
    (other,) = open_bundle(record(bundle.pack(posing, [line])))

    assert message.event_id == other.event_id
    assert message.key != other.key
