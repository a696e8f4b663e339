"""Known ids that are one person: what connects them, who stands for them, and taking it back."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.identity import Identity, Move
from services.ingest.domain.joining import Alias, Holding, firsts, persons, regroup

AT = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
Fact: TypeAlias = Alias | Holding
E_MAIL, PHONE = b"e-mail", b"phone"


def known(*ids: str) -> dict[str, Identity]:
    return {one: Identity(one, one, AT, known=True) for one in ids}


def persons_of(ids: Sequence[str], facts: Sequence[Fact]) -> dict[str, str]:
    aliases = [one for one in facts if isinstance(one, Alias)]
    return persons(ids, aliases, [one for one in facts if isinstance(one, Holding)])


def test_an_alias_decides_who_stands_for_the_person() -> None:
    aliases = [Alias("a-old", "b-newer"), Alias("b-newer", "c-newest")]

    found = persons(["a-old", "b-newer", "c-newest", "d"], aliases, [])

    assert found == {"a-old": "c-newest", "b-newer": "c-newest", "c-newest": "c-newest", "d": "d"}


def test_aliases_in_a_circle_have_the_smallest_id_stand_for_them() -> None:
    assert persons("ab", [Alias("a", "b"), Alias("b", "a")], []) == {"a": "a", "b": "a"}


def test_customers_who_share_a_trait_are_one_also_over_a_third() -> None:
    holdings = [
        Holding("c", E_MAIL),
        Holding("a", E_MAIL),
        Holding("c", PHONE),
        Holding("b", PHONE),
    ]

    assert persons("abcd", [], holdings) == {"a": "a", "b": "a", "c": "a", "d": "d"}


def test_a_trait_joins_nobody_yet_that_nobody_had_before_in_the_table_or_in_the_batch() -> None:
    told = [Holding("a", E_MAIL), Holding("b", PHONE), Holding("b", E_MAIL), Holding("c", b"new")]

    assert firsts(told, [PHONE]) == [Holding("a", E_MAIL), Holding("c", b"new")]


def test_facts_about_others_connect_nobody() -> None:
    assert persons("a", [Alias("a", "x")], [Holding("x", E_MAIL), Holding("a", E_MAIL)]) == {
        "a": "a"
    }


def test_only_who_leads_elsewhere_is_told_and_never_of_a_time_before() -> None:
    ids = known("a", "b", "c")
    later = AT + timedelta(hours=1)

    first = regroup(ids.values(), {"a": "b", "b": "b", "c": "c"}, later, "an alias")
    ids |= {one.id: one for one in first.changed}
    second = regroup(ids.values(), {"a": "c", "b": "c", "c": "c"}, AT, "an alias")

    assert first.moves == [Move("a", None, "b", later, "an alias")]
    assert second.moves == [
        Move("b", None, "c", AT, "an alias"),
        Move("a", "b", "c", later, "an alias"),
    ]


def test_who_stands_for_a_person_anew_is_told_before_who_did_joins() -> None:
    ids = known("a", "b", "c")
    shared = regroup(ids.values(), dict.fromkeys("abc", "a"), AT, "a trait")
    ids |= {one.id: one for one in shared.changed}

    swapped = regroup(ids.values(), dict.fromkeys("abc", "b"), AT, "an alias")

    assert swapped.moves == [
        Move("b", "a", None, AT, "an alias"),
        Move("a", None, "b", AT, "an alias"),
        Move("c", "a", "b", AT, "an alias"),
    ]


IDS = "abcdef"
FACTS = st.one_of(
    st.builds(Alias, st.sampled_from(IDS), st.sampled_from(IDS)).filter(
        lambda one: one.previous_id != one.customer_id
    ),
    st.builds(Holding, st.sampled_from(IDS), st.sampled_from([E_MAIL, PHONE, b"other"])),
)


class Listener:
    """Knows only what is told, as other services do."""

    def __init__(self) -> None:
        self.identities = known(*IDS)
        self.leads_to: dict[str, str] = {}

    def hear(self, facts: Sequence[Fact]) -> None:
        group = regroup(self.identities.values(), persons_of(IDS, facts), AT, "a fact")
        self.identities |= {one.id: one for one in group.changed}
        for move in group.moves:
            assert self.leads_to.get(move.id) == move.left
            self.leads_to.pop(move.id, None)
            if move.joined is not None:
                self.leads_to[move.id] = move.joined
        assert not set(self.leads_to.values()) & self.leads_to.keys(), "there are no chains"


@given(st.lists(FACTS, min_size=1, max_size=12, unique=True), st.data())
def test_persons_follow_from_the_facts_in_force_whatever_came_first_or_was_taken_back(
    facts: list[Fact], data: st.DataObject
) -> None:
    undone = data.draw(st.sets(st.sampled_from(facts)))
    steps = data.draw(st.permutations([*facts, *facts]))
    listener, there = Listener(), set[Fact]()
    for step in steps:  # first seen it comes, seen again it is taken back if it is to be undone
        if step not in there:
            there.add(step)
        elif step in undone:
            there.discard(step)
            undone = undone - {step}
        listener.hear(sorted(there, key=repr))

    in_force = [one for one in facts if one in there]
    straight = Listener()
    straight.hear(in_force)
    assert listener.leads_to == straight.leads_to
    assert {name: one.canonical_id for name, one in listener.identities.items()} == persons_of(
        IDS, data.draw(st.permutations(in_force))
    )
