"""Consent: whose statement counts, and that an old yes cannot undo a no."""

from datetime import UTC, datetime, timedelta

from services.campaigns.domain.consent import Origin, Statement, learn, permission, stated

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def after(*said: Statement) -> dict[tuple[str, str, str], Statement]:
    known: dict[tuple[str, str, str], Statement] = {}
    for one in said:
        kept = learn(known, one)
        if kept is not None:
            known[kept.key] = kept
    return known


def statement(granted: bool, days: float, origin: Origin = "shop") -> Statement:
    return Statement("email", "retention", origin, granted, "test", NOON + days * DAY)


def may(*said: Statement) -> bool:
    return permission(after(*said).values(), "email", "retention", {}).granted


def test_the_shop_repeating_its_old_yes_does_not_undo_the_person_s_no() -> None:
    assert not may(statement(True, 0), statement(False, 1, "person"), statement(True, 2))


def test_a_new_yes_of_the_shop_does() -> None:
    assert may(
        statement(True, 0),
        statement(False, 1, "person"),
        statement(False, 2),
        statement(True, 3),
    )


def test_an_operator_s_yes_counts_again_even_when_it_is_a_repetition() -> None:
    assert may(
        statement(True, 0, "operator"),
        statement(False, 1, "person"),
        statement(True, 2, "operator"),
    )


def test_what_happened_before_is_not_news() -> None:
    assert not may(statement(False, 1), statement(True, 0))


def test_at_one_instant_the_no_wins_whoever_says_it() -> None:
    assert not may(statement(True, 0), statement(False, 0, "person"))


def test_a_table_of_consent_becomes_statements_in_a_fixed_order() -> None:
    said = stated({"sms": {"x": True}, "email": {"b": True, "a": False}}, "shop", "test", NOON)
    assert [(one.channel, one.purpose, one.granted) for one in said] == [
        ("email", "a", False),
        ("email", "b", True),
        ("sms", "x", True),
    ]
