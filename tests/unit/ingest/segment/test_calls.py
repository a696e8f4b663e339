"""Calls of all kinds as events: who, when, what, and under which name."""

import json
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from services.ingest.domain.flaws import REASONS
from services.ingest.domain.intake import ONE
from services.ingest.domain.naming import ILLEGAL_IDS
from services.ingest.domain.segment.calls import read_request
from services.ingest.domain.segment.catalogue import known
from services.ingest.domain.segment.verdict import Rules, joined, judge_slices
from services.ingest.domain.verdict import Limits, Verdicts
from tests.unit.ingest.cases import NOON
from tests.unit.ingest.segment.cases import (
    bought,
    call,
    data_of,
    event_of,
    flaws,
    judged,
    paths,
    track,
)


def test_the_envelope_of_a_call_is_ours() -> None:
    event = event_of(
        track(
            "Lamp Lit",
            {"watts": 40},
            anonymousId="a-1",
            timestamp="2026-03-02T11:00:00.123Z",
            originalTimestamp="2026-03-02T10:00:00Z",
            channel="server",
            context={
                "ip": "203.0.113.9",
                "locale": "en-GB",
                "page": {"url": "https://shop.example/a", "title": "A"},
                "campaign": {"name": "may", "source": "news"},
                "device": {"manufacturer": "Acme", "model": "One"},
                "userAgent": "Browser",
                "library": {"name": "x"},
            },
            integrations={"All": True},
            _metadata={"nodeVersion": "20"},
        )
    )
    assert event == {
        "id": "m-1",
        "type": "custom.lamp_lit",
        "customer_id": "c-1",
        "anonymous_id": "a-1",
        "occurred_at": "2026-03-02T11:00:00.123000Z",
        "data": {"watts": 40},
        "context": {
            "channel": "server",
            "campaign": "may",
            "device": "Acme One",
            "locale": "en-GB",
            "page": "https://shop.example/a",
            "ip": "203.0.113.9",
        },
    }


@pytest.mark.parametrize(
    "given_time",
    [
        *(f"2026-03-02T11:00:00{'.' if n else ''}{'0' * n}Z" for n in range(10)),
        *(f"2026-03-02T11:00:00{'.' if n else ''}{'0' * n}+00:00" for n in range(10)),
        "2026-03-02T13:00:00+02:00",
    ],
)
@pytest.mark.parametrize("field", ["timestamp", "originalTimestamp"])
def test_times_have_any_number_of_digits(field: str, given_time: str) -> None:
    event = event_of(track("x", **{field: given_time}))
    assert ONE.validate_python(event).occurred_at.isoformat() == "2026-03-02T11:00:00+00:00"  # type: ignore[union-attr]


@pytest.mark.parametrize("field", ["timestamp", "originalTimestamp"])
@pytest.mark.parametrize(
    "odd", [1_700_000_000, 1.5, [], {}, True, "yesterday", "2026-03-02", "2026-03-02T12:00:00",
            "2026-13-01T00:00:00Z", "2026-03-02T14:00:00Z", "1969-01-01T00:00:00Z", "\ud800"]
)  # fmt: skip
def test_a_time_that_is_none_is_refused_at_its_path(field: str, odd: Any) -> None:
    assert paths(track("x", **{field: odd})) == [field]


@pytest.mark.parametrize("absent", [None, ""])
def test_null_and_the_empty_text_are_not_there(absent: Any) -> None:
    event = event_of(
        track("x", anonymousId=absent, timestamp=absent, context=absent, properties=absent)
        | {"messageId": absent}
    )
    assert event == {"id": "made-1", "type": "custom.x", "customer_id": "c-1", "data": {}}


def test_ids_may_be_whole_numbers() -> None:
    event = event_of(track("x", userId=42, messageId=7, anonymousId=1001))
    assert (event["customer_id"], event["id"], event["anonymous_id"]) == ("42", "7", "1001")


@pytest.mark.parametrize("field", ["userId", "anonymousId"])
@pytest.mark.parametrize(
    "odd",
    [*sorted(ILLEGAL_IDS), "0", "000", "-", "00000000-0000-0000-0000-000000000000", "NULL",
     "Undefined", " ", "x" * 201, "a\x00b", "\ud800", True, 1.5, [], {}, 10**400],
)  # fmt: skip
def test_an_id_that_stands_for_nobody_is_refused_at_its_path(field: str, odd: Any) -> None:
    assert paths(track("x", **{field: odd})) == [field]


def test_a_call_is_somebodys() -> None:
    assert flaws(track("x", userId=None)) == [("userId", "userId or anonymousId is needed")]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Signed Up", "custom.signed_up"),
        ("signedUp", "custom.signed_up"),
        ("HTTPServer2Started", "custom.http_server2_started"),
        ("Café  Visité!", "custom.cafe_visite"),
        ("a.b/c", "custom.a_b_c"),
    ],
)
def test_any_other_event_is_of_the_shops_own_making(name: str, kind: str) -> None:
    assert event_of(track(name))["type"] == kind


@given(st.text(min_size=1, max_size=300))
@example("\ud800")
@example("注文完了")
@example("Ω" * 100)
def test_every_name_is_safe_and_two_long_or_foreign_ones_stay_two(name: str) -> None:
    assume(name.strip("\x00") and not known(name) and not known(name + "注"))
    first, second = event_of(track(name)), event_of(track(name + "注"))
    assert ONE.validate_python(first).type == first["type"]
    assert first["type"] != second["type"]
    assert not name.isascii() or len(first["type"]) <= 87


def test_free_properties_lose_their_nesting_and_nothing_else() -> None:
    properties = {
        "a": {"b": {"c": 1}, "d": None},
        "list": [1, "x", None, True],
        "rows": [{"x": 1.5}],
        "none": None,
        "deep": [[1]],
        "ok": False,
    }
    assert data_of(track("x", properties)) == {
        "a_b_c": 1,
        "list": [1, "x", None, True],
        "rows": '[{"x":1.5}]',
        "deep": "[[1]]",
        "ok": False,
    }


def test_products_among_free_properties_are_kept_by_name() -> None:
    products = [{"sku": "A", "price": 1}, {"product_id": "B"}, 5]
    assert data_of(track("Products Searched", {"query": "mug", "products": products})) == {
        "query": "mug",
        "products": ["A", "B"],
    }


@pytest.mark.parametrize(
    ("one", "data"),
    [
        (
            call("page", name="Home", category="Shop", properties={"url": "https://a/b"}),
            {"url": "https://a/b", "category": "Shop"},
        ),
        (call("page", context={"page": {"url": "https://a/c"}}), {"url": "https://a/c"}),
        (call("page", name="Home", category=None), {"url": "Home"}),
        (call("page", properties={"path": "/x"}), {"url": "/x"}),
        (call("screen", name="Main", context={"page": {"url": "u"}}), {"url": "Main"}),
        (call("page", properties={"url": "u" * 2_000}), {"url": "u" * 1_000}),
        (call("page"), {}),
    ],
)
def test_pages_and_screens_are_views(one: Any, data: Any) -> None:
    assert event_of(one)["type"] == "page.viewed"
    assert data_of(one) == data


def test_what_stands_beside_a_batch_holds_for_each_call_that_does_not_say_otherwise() -> None:
    body = {
        "batch": [
            track("x", context={"locale": "de-DE"}),
            track("x", userId="c-2", messageId="m-2"),
            call("identify", messageId="m-3"),
        ],
        "context": {"locale": "en-GB", "ip": "203.0.113.9", "traits": {"email": "a@example.org"}},
        "sentAt": "2026-03-02T12:00:00Z",
    }
    first, second, third = (json.loads(one.line) for one in judged(body).accepted)
    assert first["context"] == {"locale": "de-DE", "ip": "203.0.113.9"}
    assert second["context"] == {"locale": "en-GB", "ip": "203.0.113.9"}
    assert third["data"] == {"locale": "en-GB"}


def test_a_bad_call_of_a_batch_is_told_apart_and_keeps_what_was_sent() -> None:
    bad = bought(currency="pounds") | {"messageId": "m-2", "nobody_reads": 1}
    verdicts = judged(
        [bought(), bad, 5, {"type": "x", "messageId": "m-4"}, track("x") | {"messageId": "m-3"}]
    )

    assert [(one.place, one.id) for one in verdicts.accepted] == [(0, "m-1"), (4, "m-3")]
    assert [(one.place, one.id, one.type) for one in verdicts.rejected] == [
        (1, "m-2", "order.completed"),
        (2, None, None),
        (3, "m-4", None),
    ]
    first, second, third = verdicts.rejected
    assert [error["path"] for error in first.errors] == ["batch.1.properties.currency"]
    assert json.loads(first.body) == bad
    assert [second.errors[0]["path"], third.errors[0]["path"]] == ["batch.2", "batch.3.type"]
    assert {one.reason for one in verdicts.rejected} <= set(REASONS)


def test_a_call_that_is_too_large_is_refused_alone() -> None:
    large = track("x", {"text": "é" * 20_000})
    verdicts = judged([large, track("y", {"text": "é" * 10_000})], call_bytes_max=32_768)
    assert [one.place for one in verdicts.accepted] == [1]
    assert [(one.reason, one.id) for one in verdicts.rejected] == [("too_large", "m-1")]


def archived(*calls: Any, **beside: Any) -> Verdicts:
    return judged({"batch": list(calls), **beside})


@pytest.mark.parametrize(
    ("beside", "hours"),
    [
        ({"sentAt": "2026-03-02T09:00:00Z"}, 3),
        ({"sentAt": "2026-03-01T12:00:00Z"}, 24),
        ({"sentAt": "2026-03-01T11:59:00Z"}, None),
        ({"sentAt": "2024-03-01T12:00:00Z"}, None),
        ({"sentAt": "2029-03-01T12:00:00Z"}, None),
        ({"sentAt": "0001-01-01T00:00:00Z"}, None),
        ({"sentAt": "yesterday"}, None),
        ({"sentAt": 5}, None),
        ({}, None),
    ],
)
def test_a_body_tells_the_clock_and_an_old_one_does_not(beside: Any, hours: float | None) -> None:
    """An export of 2024 has a `sentAt` in each call, which is not when it was posted."""
    calls = [track("x", timestamp="2024-01-01T10:00:00Z", sentAt="2026-03-02T10:00:00Z")]

    correction = archived(*calls, **beside).correction

    assert (correction.add.total_seconds() / 3_600 if correction else None) == hours


def test_calls_are_judged_a_slice_at_a_time_as_if_at_once() -> None:
    calls = [track("x", messageId=f"m-{n}", userId=None if n == 150 else "c-1") for n in range(250)]
    body = json.dumps({"batch": calls, "sentAt": "2026-03-02T09:00:00Z"}).encode()
    request = read_request(body, None)

    parts = list(judge_slices(request, Rules(Limits()), len(body), NOON, str))

    assert [len(part.accepted) + len(part.rejected) for part in parts] == [100, 100, 50]
    whole = joined(parts)
    assert [one.id for one in whole.accepted] == [f"m-{n}" for n in range(250) if n != 150]
    assert [(one.place, one.errors[0]["path"]) for one in whole.rejected] == [
        (150, "batch.150.userId")
    ]
    assert whole.correction is not None


def test_what_was_refused_is_the_same_call_when_it_is_posted_alone() -> None:
    """With the context of its batch, the kind that its path told, and all digits."""
    text = """{"batch": [{"type": "track", "event": "Order Completed", "userId": "c-1",
      "context": {"locale": "de-DE"},
      "properties": {"order_id": "o-1", "revenue": 123456789012.123456, "n": 1e2}}],
      "context": {"ip": "203.0.113.9", "locale": "en-GB"}}"""
    (refused,) = judged(text).rejected
    alone = '{"batch": [' + refused.body + "]}"
    (first,) = judged(text, currency="EUR").accepted
    (again,) = judged(alone, currency="EUR").accepted
    assert first.line == again.line

    (refused,) = judged({"type": "nonsense", "userId": 1.5}, "page").rejected
    assert json.loads(refused.body)["type"] == "page"
