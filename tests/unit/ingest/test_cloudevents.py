"""CloudEvents at the door: what becomes of each attribute, and what is told of bad ones."""

import base64
import contextlib
import json
from collections.abc import Mapping
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.bundle import by_source, refused_by_source
from services.ingest.domain.cloudevents import Mode, header_text, judge_cloudevents, mode_of
from services.ingest.domain.verdict import Limits, Unreadable, Verdicts
from tests.unit.ingest.cases import NOON, order
from tests.unit.ingest.cases import judged as judged_ours

SOURCE_CHARS_MAX = 100


def cloud(**given: Any) -> dict[str, Any]:
    """A CloudEvent of an order; None leaves an attribute out."""
    whole = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/shop",
        "type": "order.completed",
        "subject": "c-1",
        "data": order()["data"],
    } | given
    return {name: value for name, value in whole.items() if value is not None}


def judged(
    mode: Mode, body: Any, headers: Mapping[bytes, bytes] | None = None, **limits: Any
) -> Verdicts:
    serial = count(1)
    return judge_cloudevents(
        mode,
        headers or {},
        body if isinstance(body, bytes) else json.dumps(body).encode(),
        Limits(**limits),
        NOON,
        lambda: f"made-{next(serial)}",
        source_chars_max=SOURCE_CHARS_MAX,
    )


def binary(body: Any = None, **attributes: bytes) -> Verdicts:
    headers = {
        b"content-type": b"application/json",
        b"ce-specversion": b"1.0",
        b"ce-id": b"e-1",
        b"ce-source": b"/shop",
        b"ce-type": b"order.completed",
        b"ce-subject": b"c-1",
    } | {f"ce-{name}".encode(): value for name, value in attributes.items()}
    return judged("binary", order()["data"] if body is None else body, headers)


def paths(verdicts: Verdicts) -> list[str]:
    return [error["path"] for one in verdicts.rejected for error in one.errors]


def test_every_attribute_has_its_place_in_an_event_of_ours() -> None:
    sent = cloud(
        time="2026-03-02T11:00:00.5Z",
        anonymousid="device-1",
        datacontenttype="application/json; charset=utf-8",
        dataschema="https://example.com/schema",
        traceparent="00-ab",
        unknownextension=5,
    )
    (one,) = judged("structured", sent).accepted
    ours = order(anonymous_id="device-1", occurred_at="2026-03-02T11:00:00.5Z")

    assert one == judged_ours(ours).accepted[0]


def test_a_visitor_without_a_customer_and_a_null_attribute_are_fine() -> None:
    (one,) = judged(
        "structured",
        {**cloud(subject=None, anonymousid="device-1"), "time": None, "data_base64": None},
    ).accepted
    assert one.key == "device-1"


def test_data_may_be_json_in_base64() -> None:
    packed = base64.b64encode(json.dumps(order()["data"]).encode()).decode()
    verdicts = judged("structured", cloud(data=None, data_base64=packed))

    assert verdicts.accepted == judged_ours(order()).accepted


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"specversion": None}, ["specversion"]),
        ({"specversion": "0.3"}, ["specversion"]),
        ({"specversion": 1.0}, ["specversion"]),
        ({"id": None}, ["id"]),
        ({"id": ""}, ["id"]),
        ({"id": 5}, ["id"]),
        ({"id": "a\x00"}, ["id"]),
        ({"source": None}, ["source"]),
        ({"source": ""}, ["source"]),
        ({"source": 7}, ["source"]),
        ({"source": "/a b"}, ["source"]),
        ({"source": "/a\n"}, ["source"]),
        ({"source": "/\ud800"}, ["source"]),
        ({"source": "x" * 101}, ["source"]),
        ({"type": None}, ["type"]),
        ({"type": "com.example.order"}, ["type"]),
        ({"type": {}}, ["type"]),
        ({"subject": "null"}, ["subject"]),
        ({"subject": 5}, ["subject"]),
        ({"subject": None}, ["subject"]),
        ({"anonymousid": "undefined"}, ["anonymousid"]),
        ({"time": "yesterday"}, ["time"]),
        ({"time": "2026-03-02T12:00:00"}, ["time"]),
        ({"time": "2027-03-02T12:00:00Z"}, ["time"]),
        ({"time": 1_700_000_000}, ["time"]),
        ({"datacontenttype": "text/xml"}, ["datacontenttype"]),
        ({"datacontenttype": "text/xml", "data": "<a/>"}, ["datacontenttype"]),
        ({"datacontenttype": 5}, ["datacontenttype"]),
        ({"data": None}, ["data"]),
        ({"data": "text"}, ["data"]),
        ({"data": {**order()["data"], "total": "-1"}}, ["data.total"]),
        ({"data": {**order()["data"], "items": [{}]}},
         ["data.items.0.sku", "data.items.0.quantity", "data.items.0.unit_price"]),
        ({"data_base64": "e30="}, ["data_base64"]),
        ({"data": None, "data_base64": "%%"}, ["data_base64"]),
        ({"data": None, "data_base64": "bm8="}, ["data_base64"]),
        ({"data": None, "data_base64": 5}, ["data_base64"]),
        ({"specversion": "2", "source": None, "subject": 5, "data": {"x": 1}},
         ["specversion", "source", "subject", "data.order_id", "data.total", "data.currency",
          "data.x"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_at_the_sender_s_own_place(
    given: dict[str, Any], expected: list[str]
) -> None:
    bad = cloud(**given)

    alone, batch = judged("structured", bad), judged("batch", [cloud(id="e-0"), bad, cloud()])

    assert sorted(paths(alone)) == sorted(expected)
    assert sorted(paths(batch)) == sorted(f"1.{path}" for path in expected)
    assert [one.place for one in batch.accepted] == [0, 2]
    assert json.loads(alone.rejected[0].body) == bad


def test_messages_speak_of_attributes_by_their_own_names() -> None:
    (one,) = judged("structured", cloud(subject=None)).rejected

    assert [error["message"] for error in one.errors] == ["subject or anonymousid is needed"]
    assert (one.id, one.type, one.reason) == ("e-1", "order.completed", "missing_id")


def test_an_event_that_is_bad_only_as_a_cloud_event_is_still_named() -> None:
    (one,) = judged("structured", cloud(source=None)).rejected

    assert (one.id, one.type, one.reason) == ("e-1", "order.completed", "missing_field")


@pytest.mark.parametrize("value", [5, None, "x", [], [cloud()]])
def test_what_is_no_object_is_told_once(value: Any) -> None:
    verdicts = judged("batch", [value, cloud()])

    assert paths(verdicts) == ["0"]
    assert [one.reason for one in verdicts.rejected] == ["not_an_object"]
    assert [one.place for one in verdicts.accepted] == [1]


def test_an_empty_object_lacks_everything() -> None:
    assert paths(judged("structured", {})) == ["specversion", "id", "source", "type"]


def test_an_empty_batch_is_a_batch() -> None:
    assert judged("batch", []) == Verdicts([], [])


@pytest.mark.parametrize(
    ("mode", "body", "status"),
    [
        ("structured", b"{", 400),
        ("structured", b"", 400),
        ("structured", b"\xff", 400),
        ("structured", [cloud()], 422),
        ("structured", 5, 422),
        ("batch", cloud(), 422),
        ("batch", [5, 5, 5], 413),
        ("batch", b"[" * 100_000, 400),
        ("binary", b"not json", 400),
    ],
)
def test_a_body_that_cannot_be_judged_is_refused_as_a_whole(
    mode: Mode, body: Any, status: int
) -> None:
    with pytest.raises(Unreadable) as refused:
        judged(mode, body, {b"ce-id": b"1"}, events_max=2)
    assert refused.value.status == status


def test_an_event_larger_than_allowed_is_refused_alone() -> None:
    long = cloud(type="custom.x", data={"x": "y" * 2_000})
    verdicts = judged("batch", [long, cloud()], event_bytes_max=1_000)

    assert paths(verdicts) == ["0"]
    assert [one.reason for one in verdicts.rejected] == ["too_large"]


def test_events_keep_their_order_over_the_sources_they_name() -> None:
    sources = ["/a", "/a", "https://example.com/b", "/a"]
    verdicts = judged("batch", [cloud(source=one, id=f"e-{n}") for n, one in enumerate(sources)])

    runs = [(source, [one.id for one in run]) for source, run in by_source("/sources/k", verdicts)]
    assert runs == [
        ("/sources/k//a", ["e-0", "e-1"]),
        ("/sources/k/https://example.com/b", ["e-2"]),
        ("/sources/k//a", ["e-3"]),
    ]


def test_sources_that_take_turns_travel_together_as_far_as_no_person_is_overtaken() -> None:
    batch = [cloud(source=f"/{n % 2}", id=f"e-{n}", subject=f"c-{n}") for n in range(6)]
    batch += [cloud(source="/0", id="e-6", subject="c-5"), cloud(source="/1", id="e-7")]

    runs = [[one.id for one in run] for _, run in by_source("/k", judged("batch", batch))]

    assert runs == [["e-0", "e-2", "e-4"], ["e-1", "e-3", "e-5", "e-7"], ["e-6"]]


def test_a_refused_event_keeps_the_source_that_it_names() -> None:
    bad = [
        cloud(subject=None),
        cloud(subject=None, source="/b"),
        cloud(source="a b"),
        cloud(source=5),
        cloud(source="x" * (SOURCE_CHARS_MAX + 1)),
        5,
    ]
    verdicts = judged("batch", bad)

    assert [one.source for one in verdicts.rejected] == ["/shop", "/b", "", "", "", ""]
    groups = [
        (source, [one.place for one in found])
        for source, found in refused_by_source("/sources/k", verdicts.rejected)
    ]
    assert groups == [
        ("/sources/k//shop", [0]),
        ("/sources/k//b", [1]),
        ("/sources/k", [2, 3, 4, 5]),
    ]


def test_events_of_ours_come_from_the_key() -> None:
    verdicts = judged_ours({"events": [order(), order()]})
    assert list(by_source("/sources/k", verdicts)) == [("/sources/k", verdicts.accepted)]


def test_in_binary_mode_attributes_are_headers_and_the_body_is_the_data() -> None:
    verdicts = binary(anonymousid=b"device-1", time=b"2026-03-02T11:00:00Z", unknown=b"\xff%zz")
    ours = order(anonymous_id="device-1", occurred_at="2026-03-02T11:00:00Z")

    assert verdicts.accepted == judged_ours(ours).accepted
    assert verdicts.sources == ["/shop"]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"specversion": b"0.3"}, ["ce-specversion"]),
        ({"id": b""}, ["ce-id"]),
        ({"id": b"%00"}, ["ce-id"]),
        ({"id": b"%C0%A0"}, ["ce-id"]),
        ({"subject": b"%ED%A0%80"}, ["ce-subject"]),
        ({"source": b"%20"}, ["ce-source"]),
        ({"type": b"order"}, ["ce-type"]),
        ({"time": b"noon"}, ["ce-time"]),
        ({"datacontenttype": b"application/json"}, ["ce-datacontenttype"]),
    ],
)
def test_a_bad_header_is_told_by_its_name(
    attributes: dict[str, bytes], expected: list[str]
) -> None:
    assert paths(binary(**attributes)) == expected


def test_bad_data_in_binary_mode_is_told_from_data_on() -> None:
    assert paths(binary({**order()["data"], "total": "-1"})) == ["data.total"]
    assert paths(binary(b"")) == ["data"]
    assert paths(binary([])) == ["data"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain", "plain"),
        (b"Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        (b"%e2%82%ac", "€"),
        (b'"quoted"', "quoted"),
        (b'"a \\"b\\" \\\\ c"', 'a "b" \\ c'),
        (b'"%41 b"', "A b"),
        (b"%2541", "%41"),
        (b"100%", "100%"),
        (b"%zz", "%zz"),
        (b'"', '"'),
        (b"a+b", "a+b"),
        ("gr\u00fcn".encode(), "grün"),
        (b"", ""),
    ],
)
def test_a_header_s_value_is_unquoted_and_then_decoded_once(value: bytes, text: str) -> None:
    assert header_text(value) == text


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_what_the_binding_encodes_is_decoded_to_the_same(text: str) -> None:
    encoded = b"".join(
        bytes([byte]) if 0x21 <= byte <= 0x7E and byte not in b'"%' else b"%%%02X" % byte
        for byte in text.encode()
    )
    assert header_text(encoded) == text


@pytest.mark.parametrize(
    ("media_type", "headers", "mode"),
    [
        (b"application/cloudevents+json", {}, "structured"),
        (b"application/cloudevents+json", {b"ce-id": b"1"}, "structured"),
        (b"application/cloudevents-batch+json", {}, "batch"),
        (b"application/json", {}, None),
        (b"", {}, None),
        (b"application/json", {b"ce-specversion": b"1.0"}, "binary"),
        (b"", {b"ce-type": b"x"}, "binary"),
        (b"application/vnd.shop+json", {b"ce-id": b"1"}, "binary"),
        (b"application/vnd.shop+json", {}, None),
        (b"application/cloudevents+avro", {b"ce-id": b"1"}, None),
        (b"text/xml", {b"ce-id": b"1"}, None),
    ],
)
def test_how_a_request_carries_its_events(
    media_type: bytes, headers: dict[bytes, bytes], mode: Mode | None
) -> None:
    assert mode_of(media_type, headers) == mode


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
ATTRIBUTES = st.sampled_from(
    ["specversion", "id", "source", "type", "subject", "anonymousid", "time", "data",
     "data_base64", "datacontenttype", "other"]
)  # fmt: skip


@given(st.lists(st.dictionaries(ATTRIBUTES, ODD, max_size=3) | ODD, max_size=4))
def test_no_json_makes_the_door_fail_and_every_event_has_one_verdict(odd: list[Any]) -> None:
    batch = [cloud() | one if isinstance(one, dict) else one for one in odd]
    verdicts = judged("batch", batch)

    places = [one.place for one in verdicts.accepted]
    places += [one.place for one in verdicts.rejected]
    assert sorted(places) == list(range(len(batch)))
    assert len(verdicts.sources) == len(verdicts.accepted)
    for one in verdicts.rejected:
        assert one.errors
        assert all(error["path"].split(".")[0] == str(one.place) for error in one.errors)
        json.dumps(one.errors).encode()


@given(st.dictionaries(st.sampled_from(["id", "source", "type", "subject", "time"]), st.binary()),
       st.binary(max_size=20))  # fmt: skip
def test_no_headers_make_the_door_fail(attributes: dict[str, bytes], body: bytes) -> None:
    with contextlib.suppress(Unreadable):
        verdicts = binary(body, **attributes)
        assert len(verdicts.accepted) + len(verdicts.rejected) == 1
