"""The gate: each rule alone, and what can never happen whatever the sequence."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.campaigns.domain.consent import Statement
from services.campaigns.domain.gate import Contact, Drop, Hold, Left, Send, Standing, Wish, check
from services.campaigns.domain.policy import Cap, Policy, QuietHours
from services.campaigns.domain.profile import Profile, Trait
from services.campaigns.domain.quiet import quiet_until, zone_of

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=30)
DAY = timedelta(days=1)


def said(
    granted: bool, at: datetime = NOON - DAY, purpose: str = "retention", origin: str = "shop"
) -> Statement:
    return Statement("email", purpose, origin, granted, "customer.updated", at)  # type: ignore[arg-type]


def profile(**traits: str) -> Profile:
    return Profile({name: Trait(name, value, NOON) for name, value in traits.items()})


def standing(
    *statements: Statement, contacts: Sequence[Contact] = (), timezone: str = "UTC"
) -> Standing:
    return Standing(statements, profile(email="ann@example.com", timezone=timezone), contacts)


def wish(not_after: datetime = LATER, channel: str = "email") -> Wish:
    return Wish(channel, "retention", not_after)


ANYTIME = Policy()
AT_NIGHT = Policy(quiet_hours={"email": QuietHours(start=time(21), end=time(8))})
ONE_A_WEEK = Policy(caps=(Cap(messages=1, days=7),))


def test_a_consenting_reachable_customer_gets_the_message() -> None:
    verdict = check(wish(), standing(said(True)), ANYTIME, NOON)
    assert isinstance(verdict, Send)
    assert "was given on 2026-03-01" in verdict.reason


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        ([], "no consent to retention by email is known"),
        ([said(False)], "withdrawn"),
        ([said(True, purpose="newsletter")], "no consent to retention"),
        ([said(True), said(False, at=NOON, purpose="*", origin="person")], "withdrawn"),
        ([said(True, at=NOON), said(False, at=NOON, origin="person")], "withdrawn"),
    ],
)
def test_without_consent_nothing_is_sent(statements: list[Statement], reason: str) -> None:
    verdict = check(wish(), standing(*statements), ANYTIME, NOON)
    assert isinstance(verdict, Drop)
    assert verdict.rule == "consent"
    assert reason in verdict.reason


def test_a_later_grant_by_an_operator_counts_again() -> None:
    statements = (said(False, origin="person"), said(True, at=NOON, origin="operator"))
    assert isinstance(check(wish(), standing(*statements), ANYTIME, NOON), Send)


def test_implied_consent_holds_until_somebody_says_no() -> None:
    policy = Policy(implied_consent={"email": frozenset({"retention"})})
    assert isinstance(check(wish(), standing(), policy, NOON), Send)
    assert isinstance(check(wish(), standing(said(False)), policy, NOON), Drop)


def test_a_missing_and_an_unusable_address_are_told_apart() -> None:
    missing = Standing((said(True),), profile())
    broken = Standing(
        (said(True),), Profile({"email": Trait("email", "x", NOON, "not an e-mail address")})
    )
    for state, words in ((missing, "no address"), (broken, "not an e-mail address")):
        verdict = check(wish(), state, ANYTIME, NOON)
        assert isinstance(verdict, Drop)
        assert verdict.rule == "address"
        assert words in verdict.reason


def test_a_stale_message_is_dropped_at_its_limit() -> None:
    verdict = check(wish(not_after=NOON), standing(said(True)), ANYTIME, NOON)
    assert isinstance(verdict, Drop)
    assert verdict.rule == "stale"


def test_after_an_early_end_of_its_journey_a_message_is_not_needed_any_more() -> None:
    left = Left(NOON, "ordered again")
    state = standing(said(True))
    assert isinstance(check(replace(wish(), left=left), state, ANYTIME, NOON), Send)
    verdict = check(replace(wish(), left=left), state, ANYTIME, NOON + DAY)
    assert verdict == Drop("left", "not needed any more: ordered again")


def test_a_full_cap_holds_until_the_oldest_message_leaves_the_window() -> None:
    sent = NOON - timedelta(days=3)
    verdict = check(wish(), standing(said(True), contacts=[Contact("sms", sent)]), ONE_A_WEEK, NOON)
    assert isinstance(verdict, Hold)
    assert (verdict.rule, verdict.until) == ("cap", sent + timedelta(days=7))
    assert isinstance(
        check(
            wish(), standing(said(True), contacts=[Contact("sms", sent)]), ONE_A_WEEK, verdict.until
        ),
        Send,
    )


def test_a_channel_cap_counts_that_channel_only_and_tasks_count_nowhere() -> None:
    policy = Policy(caps=(Cap(messages=1, days=7, channel="email"), Cap(messages=2, days=7)))
    contacts = [Contact("sms", NOON - DAY), Contact("task", NOON - DAY)]
    assert isinstance(check(wish(), standing(said(True), contacts=contacts), policy, NOON), Send)


def test_a_hold_beyond_the_message_s_usefulness_is_a_drop_with_the_holding_rule() -> None:
    contacts = [Contact("email", NOON - DAY)]
    verdict = check(
        wish(not_after=NOON + DAY), standing(said(True), contacts=contacts), ONE_A_WEEK, NOON
    )
    assert isinstance(verdict, Drop)
    assert verdict.rule == "cap"
    assert "too late" in verdict.reason


def test_a_task_needs_no_consent_and_knows_no_quiet_hours() -> None:
    midnight = NOON.replace(hour=0)
    assert isinstance(check(wish(channel="task"), Standing(), AT_NIGHT, midnight), Send)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "start", "end", "as_of", "until"),
    [
        # An ordinary night across midnight, before and after it, and its two borders.
        ("UTC", 21, 8, "2026-03-02 23:00", "2026-03-03 08:00"),
        ("UTC", 21, 8, "2026-03-03 07:59", "2026-03-03 08:00"),
        ("UTC", 21, 8, "2026-03-02 21:00", "2026-03-03 08:00"),
        ("UTC", 21, 8, "2026-03-03 08:00", None),
        ("UTC", 21, 8, "2026-03-02 12:00", None),
        # A span within one day.
        ("UTC", 12, 14, "2026-03-02 13:00", "2026-03-02 14:00"),
        ("UTC", 12, 14, "2026-03-02 11:59", None),
        # The customer's clock, not ours.
        ("America/New_York", 21, 8, "2026-03-03 02:30", "2026-03-03 13:00"),
        ("Asia/Kolkata", 21, 8, "2026-03-02 15:30", "2026-03-03 02:30"),
        # Berlin, 29 March: the night is an hour shorter, 08:00 is 06:00 UTC and not 07:00.
        ("Europe/Berlin", 21, 8, "2026-03-28 22:00", "2026-03-29 06:00"),
        ("Europe/Berlin", 21, 8, "2026-03-29 06:30", None),
        # Berlin, 25 October: an hour longer, 08:00 is 07:00 UTC and not 06:00.
        ("Europe/Berlin", 21, 8, "2026-10-24 22:00", "2026-10-25 07:00"),
        ("Europe/Berlin", 21, 8, "2026-10-25 06:30", "2026-10-25 07:00"),
        # The end is in the skipped hour: silence lasts to the later reading.
        ("Europe/Berlin", 22, 2.5, "2026-03-29 01:15", "2026-03-29 01:30"),
        # The end is shown twice: the first 02:30 does not end the night.
        ("Europe/Berlin", 22, 2.5, "2026-10-25 00:45", "2026-10-25 01:30"),
        ("Europe/Berlin", 22, 2.5, "2026-10-25 01:30", None),
    ],
)
def test_quiet_hours_follow_the_customer_s_clock(
    zone: str, start: float, end: float, as_of: str, until: str | None
) -> None:
    hours = QuietHours(start=_time(start), end=_time(end))
    found = quiet_until(hours, zone_of(zone, "UTC"), utc(as_of))
    assert found == (utc(until) if until else None)


def _time(hours: float) -> time:
    return time(int(hours), int(hours % 1 * 60))


@pytest.mark.parametrize("zone", [None, "", "Mars/Olympus", "../etc/passwd", "Europe"])
def test_an_unknown_zone_falls_back_to_the_shop_s(zone: str | None) -> None:
    assert zone_of(zone, "Europe/Berlin").key == "Europe/Berlin"


def test_a_message_at_night_is_held_until_morning_where_the_customer_is() -> None:
    at = utc("2026-03-02 21:30")
    state = standing(said(True), timezone="Europe/Berlin")
    verdict = check(wish(), state, AT_NIGHT, at)
    assert isinstance(verdict, Hold)
    assert verdict.rule == "quiet_hours"
    assert verdict.until == utc("2026-03-03 07:00")
    assert "22:30 in Europe/Berlin" in verdict.reason


instants = st.datetimes(
    min_value=datetime(2026, 3, 20),  # noqa: DTZ001 — made aware by `timezones`
    max_value=datetime(2026, 4, 10),  # noqa: DTZ001
    timezones=st.just(UTC),
)
zones = st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Nowhere/At_All"])
POLICY = Policy(
    timezone="Europe/London",
    caps=(Cap(messages=2, days=3, channel="email"), Cap(messages=3, days=7)),
    quiet_hours={"email": QuietHours(start=time(21), end=time(8))},
)
statements = st.lists(
    st.builds(
        said,
        st.booleans(),
        instants,
        st.sampled_from(["retention", "*", "news"]),
        st.sampled_from(["shop", "person", "operator"]),
    ),
    max_size=4,
)


@given(st.lists(st.tuples(instants, statements), min_size=1, max_size=25), zones)
def test_nothing_is_sent_without_consent_in_quiet_hours_or_above_a_cap(
    attempts: list[tuple[datetime, list[Statement]]], zone: str
) -> None:
    sent: list[Contact] = []
    for at, known in attempts:
        state = standing(*known, contacts=sent, timezone=zone)
        if isinstance(check(wish(at + timedelta(days=9)), state, POLICY, at), Send):
            _assert_allowed(known, zone, at)
            sent.append(Contact("email", at))
    for cap in POLICY.caps:
        for one in sent:
            window = [
                other for other in sent if one.at <= other.at < one.at + timedelta(days=cap.days)
            ]
            assert len(window) <= cap.messages


def _assert_allowed(known: list[Statement], zone: str, at: datetime) -> None:
    about = [one for one in known if one.purpose in {"retention", "*"}]
    assert about
    assert max(about, key=lambda one: (one.at, not one.granted)).granted
    local = at.astimezone(zone_of(zone, POLICY.timezone))
    assert 8 <= local.hour < 21


@given(instants, zones, statements)
def test_a_hold_ends_after_it_was_decided(at: datetime, zone: str, known: list[Statement]) -> None:
    contacts = [Contact("email", at - DAY), Contact("email", at + DAY), Contact("email", at)]
    verdict = check(
        wish(at + 90 * DAY), standing(*known, contacts=contacts, timezone=zone), POLICY, at
    )
    if isinstance(verdict, Hold):
        assert at < verdict.until < at + 90 * DAY
