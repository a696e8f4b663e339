"""Consent: whose statement counts, and that an old yes cannot undo a no."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from services.campaigns.domain.consent import Origin, Statement, learn, permission, stated, together

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


def test_an_old_yes_that_arrives_late_moves_the_beginning_back() -> None:
    early, late, no = statement(True, 0), statement(True, 2), statement(False, 1, "person")
    assert not may(early, no, late)
    assert not may(late, no, early)


def test_an_old_yes_before_an_old_no_does_not() -> None:
    assert may(statement(False, 1), statement(True, 3), statement(True, 0))
    said = after(statement(False, 1), statement(True, 3), statement(True, 0))
    assert [one.at for one in said.values()] == [NOON + 3 * DAY]


def since_of(said: Sequence[Statement]) -> tuple[bool, datetime]:
    """What the shop says, and since when: read off all it ever said. Of one instant a no counts."""
    no = max((one.at for one in said if not one.granted), default=NOON - DAY)
    yes = max((one.at for one in said if one.granted), default=NOON - DAY)
    if yes > no:
        return True, min(one.at for one in said if one.granted and one.at > no)
    return False, min(one.at for one in said if not one.granted and one.at >= yes)


SHOP = st.lists(st.builds(statement, st.booleans(), st.integers(0, 8)), min_size=1, max_size=7)
OTHERS = st.lists(
    st.one_of(
        st.builds(statement, st.just(False), st.integers(0, 8), st.just("person")),
        st.builds(statement, st.booleans(), st.integers(0, 8), st.just("operator")),
    ),
    max_size=2,
    unique_by=lambda one: one.origin,
)


def in_order(said: Sequence[Statement]) -> list[Statement]:
    return sorted(said, key=lambda one: (one.at, not one.granted))


@settings(deadline=None)
@given(SHOP)
def test_in_the_order_of_time_the_shop_s_statement_is_exact(said: list[Statement]) -> None:
    (kept,) = after(*in_order(said)).values()
    assert (kept.granted, kept.at) == since_of(said)


@settings(max_examples=500, deadline=None)
@given(SHOP, OTHERS, st.randoms(use_true_random=False))
def test_no_order_of_arrival_permits_what_the_order_of_time_forbids(
    shop: list[Statement], others: list[Statement], dice: Random
) -> None:
    arriving = [*shop, *others]
    dice.shuffle(arriving)
    known = after(*arriving)
    kept = known["email", "retention", "shop"]
    assert kept.granted == since_of(shop)[0]
    if may(*arriving):
        assert may(*in_order([*shop, *others]))


@settings(deadline=None)
@given(SHOP, st.booleans(), st.randoms(use_true_random=False))
def test_while_the_shop_repeats_itself_the_order_of_arrival_does_not_matter(
    shop: list[Statement], granted: bool, dice: Random
) -> None:
    same = [replace(one, granted=granted) for one in shop]
    shuffled = [*same]
    dice.shuffle(shuffled)
    assert after(*shuffled) == after(*in_order(same))


def of_person(*ids: Sequence[Statement]) -> list[Statement]:
    """What holds about a person, with whose ids these were said."""
    return together(one for said in ids for one in after(*said).values())


def may_contact(*ids: Sequence[Statement]) -> bool:
    return permission(of_person(*ids), "email", "retention", {}).granted


def test_the_shop_repeating_its_old_yes_under_another_id_does_not_undo_the_no() -> None:
    one = [statement(True, 0), statement(False, 1, "person")]
    assert not may_contact(one, [statement(True, 2)])
    assert not may_contact([statement(True, 2)], one)
    assert may_contact(one, [statement(False, 2), statement(True, 3)])
    assert may_contact(one, [statement(True, 3, "operator")])


@settings(max_examples=500, deadline=None)
@given(SHOP, OTHERS, st.randoms(use_true_random=False))
def test_several_ids_permit_nothing_that_the_order_of_time_under_one_forbids(
    shop: list[Statement], others: list[Statement], dice: Random
) -> None:
    arriving = [*shop, *others]
    dice.shuffle(arriving)
    ids: tuple[list[Statement], ...] = ([], [], [])
    for one in arriving:
        dice.choice(ids).append(one)
    (kept,) = (one for one in of_person(*ids) if one.origin == "shop")
    assert kept.granted == since_of(shop)[0]
    if may_contact(*ids):
        assert may(*in_order(arriving))


@settings(deadline=None)
@given(SHOP, OTHERS)
def test_what_was_said_under_one_id_alone_is_what_holds(
    shop: list[Statement], others: list[Statement]
) -> None:
    said = [*shop, *others]
    assert of_person(said, []) == list(after(*said).values())
