"""Sums over people."""

from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from services.insights.domain.people import (
    Group,
    Person,
    Standing,
    Sums,
    arrived,
    members,
    moved,
    of_segment,
)
from shared.ids import CustomerId

People = dict[CustomerId, Person]
DAY = date(2026, 3, 2)
LOYAL = Group("low", "loyal", "active", "GBP")


def standing(risk: str) -> Standing:
    return Standing(1, Decimal(risk), Decimal("1.5"), Decimal(2))


def plain(sums: Sums) -> Sums:
    """Without groups of nobody."""
    return of_segment(sums, None)


def added(one: Sums, other: Sums) -> Sums:
    arrivals = {key: 0 for key in one.arrivals | other.arrivals}
    tiers = {key: 0 for key in one.tiers | other.tiers}
    groups = one.standings | other.standings
    return Sums(
        {key: one.arrivals.get(key, 0) + other.arrivals.get(key, 0) for key in arrivals},
        {
            group: one.standings.get(group, Standing()).plus(other.standings.get(group, Standing()))
            for group in groups
        },
        {key: one.tiers.get(key, 0) + other.tiers.get(key, 0) for key in tiers},
    )


def test_a_person_counts_by_day_standing_and_tier() -> None:
    person = Person(DAY, LOYAL, standing("0.25"), "gold")

    assert moved({}, {CustomerId("c-1"): person}) == Sums(
        {(DAY, "loyal"): 1}, {LOYAL: standing("0.25")}, {("gold", "loyal"): 1}
    )


def test_who_stays_the_same_moves_nothing() -> None:
    people = {CustomerId("c-1"): Person(DAY, LOYAL, standing("0.25"), None)}

    assert moved(people, people) == Sums()


def test_a_segment_is_asked_for_by_name_and_nobody_is_in_the_empty_one() -> None:
    sums = moved(
        {},
        {
            CustomerId("c-1"): Person(DAY, LOYAL, standing("0.25"), "gold"),
            CustomerId("c-2"): Person(DAY, None, None, "gold"),
        },
    )

    assert members(of_segment(sums, None)) == {"gold": 2}
    assert members(of_segment(sums, "loyal")) == {"gold": 1}
    assert of_segment(sums, "") == Sums()
    assert arrived(of_segment(sums, "loyal"), DAY, date(2026, 3, 3)) == 1
    assert arrived(sums, date.min, DAY) == 0


people = st.dictionaries(
    st.sampled_from([CustomerId(name) for name in "abcd"]),
    st.builds(
        lambda day, segment, risk, tier: Person(
            date(2026, 3, day),
            Group("low", segment, "active", "GBP") if segment else None,
            Standing(1, risk, Decimal(1), Decimal(1)) if segment else None,
            tier,
        ),
        st.integers(1, 3),
        st.sampled_from([None, "loyal", "new"]),
        st.decimals(0, 1, places=9),
        st.sampled_from([None, "gold"]),
    ),
)


@given(people, people, people)
def test_sums_that_were_moved_are_those_of_a_count(
    one: People, other: People, last: People
) -> None:
    step_by_step = added(added(moved({}, one), moved(one, other)), moved(other, last))

    assert plain(step_by_step) == plain(moved({}, last))
