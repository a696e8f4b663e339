"""Tokens, templates, addresses, retries, people and last touch."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.campaigns import addresses, mailer, templates
from services.campaigns.domain import unsubscribe
from services.campaigns.domain.attribution import Order, credited, first_order
from services.campaigns.domain.bounce import is_for_good
from services.campaigns.domain.intervention import Intervention
from services.campaigns.domain.person import people_of
from services.campaigns.domain.profile import Trait, combine
from services.campaigns.domain.sending import (
    Delivered,
    Done,
    GiveUp,
    Mail,
    Rejected,
    Retry,
    next_step,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SECRET = b"s" * 32
PARTS = {
    "subject": "Hello {{ customer.name }}",
    "text": "{{ customer.name }}",
    "html": "<p>{{ customer.name }}</p>",
}


@given(st.uuids())
def test_a_token_names_its_intervention_and_nothing_else(one: uuid.UUID) -> None:
    token = unsubscribe.token_of(str(one), SECRET)
    assert unsubscribe.intervention_of(token, SECRET) == str(one)
    assert unsubscribe.intervention_of(token, b"another secret") is None


@pytest.mark.parametrize("token", ["", "x", "a" * 43, "ä" * 43, "=" * 43, "../../etc"])
def test_a_made_up_token_is_nobody_s(token: str) -> None:
    assert unsubscribe.intervention_of(token, SECRET) is None


def test_every_changed_character_of_a_token_is_noticed() -> None:
    token = unsubscribe.token_of(str(uuid.UUID(int=7)), SECRET)
    for place in range(len(token) - 1):
        other = "A" if token[place] != "A" else "B"
        assert (
            unsubscribe.intervention_of(token[:place] + other + token[place + 1 :], SECRET) is None
        )


def test_what_a_customer_calls_himself_cannot_become_markup_or_a_header() -> None:
    rendered = templates.template("t", PARTS).render({"customer": {"name": "<b>A</b>\r\nBcc: x"}})
    assert rendered.subject == "Hello <b>A</b> Bcc: x"
    assert "&lt;b&gt;" in rendered.html
    assert "<b>" in rendered.text


def test_an_unknown_variable_is_an_error_unless_there_is_a_default() -> None:
    with pytest.raises(templates.TemplateProblem, match="subject"):
        templates.template("t", PARTS).render({})
    gentle = PARTS | {"subject": "{{ nobody | default: 'you' }}", "text": "", "html": ""}
    assert templates.template("t", gentle).render({}).subject == "you"


def test_an_endless_template_is_stopped() -> None:
    endless = PARTS | {"text": "{% for i in (1..1000000) %}x{% endfor %}"}
    with pytest.raises(templates.TemplateProblem):
        templates.template("t", endless).render({"customer": {"name": "A"}})


@pytest.mark.parametrize(
    ("trait", "value", "stored", "usable"),
    [
        ("email", "Ann@EXAMPLE.com", "Ann@example.com", True),
        ("email", "ann@shop.test", "ann@shop.test", True),
        ("email", "ann@exämple.de", "ann@xn--exmple-cua.de", True),
        ("email", "ann", "ann", False),
        ("email", "a@b.c\r\nBcc: d@e.f", "a@b.c\r\nBcc: d@e.f", False),
        ("phone", "+44 20 7946 0958", "+442079460958", True),
        ("phone", "020 7946", "020 7946", False),
        ("timezone", "Europe/Berlin", "Europe/Berlin", True),
        ("timezone", "Berlin", "Berlin", False),
        ("name", "Ann", "Ann", True),
    ],
)
def test_traits_are_checked_when_they_are_written(
    trait: str, value: str, stored: str, usable: bool
) -> None:
    found, problem = addresses.checked(trait, value)
    assert found == stored
    assert (problem is None) == usable


MAIL = Mail(
    message_id="m-1@shop.test",
    sender="Shop <shop@shop.test>",
    recipient="ann@example.com",
    subject="Hello",
    text="text",
    html="<p>html</p>",
    unsubscribe_url="https://shop.test/u/token",
    sent_at=NOON,
)


def test_a_message_can_be_unsubscribed_from_with_one_click() -> None:
    message = mailer.message_of(MAIL)
    assert message["List-Unsubscribe"] == "<https://shop.test/u/token>"
    assert b"\r\nList-Unsubscribe: <https://shop.test/u/token>\r\n" in message.as_bytes()
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["Message-ID"] == "<m-1@shop.test>"


@pytest.mark.parametrize("field", ["subject", "recipient", "sender", "message_id"])
@pytest.mark.parametrize("smuggled", ["a\r\nBcc: x@y.z", "a\nb", "a\rb"])
def test_a_line_break_in_any_header_is_refused(field: str, smuggled: str) -> None:
    changed: dict[str, Any] = {field: smuggled}
    with pytest.raises(ValueError, match="line break"):
        mailer.message_of(replace(MAIL, **changed))


def test_what_follows_from_an_answer_of_the_provider() -> None:
    away = Rejected("away", permanent=False)
    assert next_step(1, Delivered(), NOON, 0.5) == Done()
    assert next_step(1, away, NOON, 0.5) == Retry(NOON + timedelta(minutes=1), "away")
    assert next_step(6, away, NOON, 0.5) == GiveUp("away; tried 6 times")
    assert next_step(1, Rejected("no such mailbox", True), NOON, 0.5) == GiveUp("no such mailbox")


def test_merged_ids_are_one_person_and_chains_end_at_the_survivor() -> None:
    people = people_of(["a", "z"], {"a": "b", "b": "c", "d": "c"})
    assert people["a"].canonical == "c"
    assert people["a"].ids == ("a", "b", "c", "d")
    assert people["d"] is people["a"]
    assert people["z"].ids == ("z",)


def test_links_in_a_circle_still_give_one_person() -> None:
    assert people_of(["b"], {"a": "b", "b": "a"})["b"].canonical == "a"


def test_of_two_ids_the_later_trait_counts() -> None:
    early, late = Trait("name", "Ann", NOON), Trait("name", "Anna", NOON + DAY)
    assert combine([late, early]).text("name") == combine([early, late]).text("name") == "Anna"


def sent(name: str, days: float, converted: bool = False) -> Intervention:
    at = NOON + days * DAY
    return Intervention(
        intervention_id=name,
        customer_id="c-1",
        journey="win-back",
        version=1,
        enrolment_id="en-1",
        step="offer",
        channel="email",
        purpose="retention",
        state="sent",
        reason="test",
        cause="e-1",
        planned_at=at,
        due_at=at,
        not_after=at + DAY,
        sent_at=at,
        convert_until=at + 14 * DAY,
        converted_at=at if converted else None,
    )


def order(days: float) -> Order:
    return Order("c-1", f"o-{days}", "/shop", f"e-{days}", NOON + days * DAY, Decimal(10), "GBP")


def test_an_order_counts_for_the_last_message_before_it() -> None:
    interventions = [sent("first", 0), sent("second", 5)]
    touched = credited(order(6), interventions)
    assert touched is not None
    assert touched.intervention_id == "second"


@pytest.mark.parametrize("days", [-1, 0, 14.01])
def test_an_order_outside_the_window_counts_for_nothing(days: float) -> None:
    assert credited(order(days), [sent("first", 0)]) is None


def test_a_message_converts_once() -> None:
    assert credited(order(6), [sent("first", 0), sent("second", 5, converted=True)]) is None


def test_a_message_recorded_late_finds_the_order_that_followed_it() -> None:
    found = first_order(sent("first", 0), [order(9), order(3), order(-1)])
    assert found is not None
    assert found.order_id == "o-3"


@pytest.mark.parametrize(
    ("reason", "for_good"),
    [
        (None, True),
        ("550 5.1.1 mailbox unknown", True),
        ("5.1.1", True),
        ("hard", True),
        ("Permanent/NoEmail", True),
        ("452 4.2.2 over quota", False),
        ("552 5.2.2 mailbox full", False),
        ("421 try again later", False),
        ("soft bounce", False),
        ("Transient/General", False),
        ("temporarily deferred", False),
        ("greylisted", False),
    ],
)
def test_whether_a_bounce_is_for_good(reason: str | None, for_good: bool) -> None:
    assert is_for_good(reason) is for_good
