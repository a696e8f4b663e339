"""Who is whom, whatever the order in which it is heard."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.insights.domain.identity import (
    Change,
    Erasure,
    Link,
    Veil,
    changed,
    erasure_key,
    holder,
    latest,
    pseudonym_of,
    roots,
    settle,
)
from shared.ids import CustomerId
from shared.testing.builders import NOON


def link(absorbed: str, survivor: str, *, linked: bool = True, minute: int = 0) -> Link:
    return Link(
        CustomerId(absorbed),
        CustomerId(survivor),
        linked,
        NOON + timedelta(minutes=minute),
        f"e-{absorbed}-{minute}",
    )


def erased(customer: str, minute: int) -> Erasure:
    veil = Veil(NOON + timedelta(minutes=minute), pseudonym_of("x-1"))
    return Erasure(CustomerId(customer), veil)


def root_of(*links: Link) -> dict[str, str]:
    return {str(one): str(root) for one, root in roots(latest(links)).items()}


def test_a_chain_of_merges_ends_at_the_last_survivor() -> None:
    assert root_of(link("a", "b"), link("b", "c")) == {"a": "c", "b": "c"}


def test_an_unmerge_takes_the_ids_behind_it_along() -> None:
    unmerge = link("b", "c", linked=False, minute=5)
    assert root_of(link("a", "b"), link("b", "c"), unmerge) == {"a": "b", "b": "b"}


def test_a_merge_older_than_its_unmerge_changes_nothing_when_it_comes_late() -> None:
    unmerge = link("a", "b", linked=False, minute=5)
    assert root_of(unmerge, link("a", "b")) == {"a": "a"}


def test_of_a_merge_and_its_unmerge_at_the_same_time_the_later_told_holds() -> None:
    for name in ("a", "z"):
        unmerge = replace(link("a", "b", linked=False), changed_by=name)
        assert root_of(link("a", "b"), unmerge) == {"a": "a"}
        assert root_of(unmerge, link("a", "b")) == {"a": "b"}


def test_a_further_device_of_a_person_changes_its_own_row_only() -> None:
    devices = [link(f"device-{n}", "kiosk") for n in range(5)]
    before = dict.fromkeys(devices, CustomerId("kiosk"))
    new = link("device-9", "kiosk", minute=1)

    change = changed(before, latest([*devices, new]))

    people = frozenset({new.absorbed, new.survivor})
    assert change == Change(frozenset(), {new: CustomerId("kiosk")}, people)


def test_a_link_that_an_erasure_takes_leaves_both_ends_to_be_counted_anew() -> None:
    gone = link("a", "b")

    change = changed({gone: CustomerId("b")}, {})

    assert change == Change(
        frozenset({gone.absorbed}), {}, frozenset({gone.absorbed, gone.survivor})
    )


def test_a_circle_of_merges_has_one_root() -> None:
    assert root_of(link("a", "b"), link("b", "c"), link("c", "a"), link("z", "a")) == {
        "a": "a",
        "b": "a",
        "c": "a",
        "z": "a",
    }


ids = st.sampled_from("abcdef")
links = st.lists(
    st.builds(
        lambda a, b, linked, minute: link(a, b, linked=linked, minute=minute),
        ids,
        ids,
        st.booleans(),
        st.integers(0, 50),
    ),
    unique_by=lambda one: (one.absorbed, one.changed_at),
    max_size=12,
)


@given(links, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(some: list[Link], dice: object) -> None:
    shuffled = list(some)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert roots(latest(some)) == roots(latest(shuffled))


@given(links)
def test_everybody_linked_shares_the_root_of_the_survivor(some: list[Link]) -> None:
    known = latest(some)
    found = roots(known)
    for one in known.values():
        if one.linked:
            assert found[one.absorbed] == found.get(one.survivor, one.survivor)


def test_an_erasure_takes_all_ids_of_the_person_and_their_links() -> None:
    known = latest([link("a", "b"), link("b", "c"), link("x", "y")])
    settled = settle(known, [erased("c", 10)], {})
    assert [one.customer for one in settled.erasures] == ["a", "b", "c"]
    assert set(settled.links) == {"x"}


def test_who_was_merged_after_the_erasure_is_not_erased() -> None:
    known = latest([link("a", "c", minute=20)])
    settled = settle(known, [erased("c", 10)], {})
    assert [one.customer for one in settled.erasures] == ["c"]
    assert set(settled.links) == {"a"}


def test_a_merge_heard_of_after_the_erasure_erases_the_absorbed_too() -> None:
    veils = {erasure_key(CustomerId("c")): [erased("c", 10).veil]}
    settled = settle(latest([link("a", "c")]), [], veils)
    assert Erasure(CustomerId("a"), erased("c", 10).veil) in settled.erasures
    assert settled.links == {}


def test_what_an_erased_customer_did_before_belongs_to_the_pseudonym() -> None:
    veil = erased("c", 10).veil
    veils = {erasure_key(CustomerId("c")): [veil]}
    before, after = NOON, NOON + timedelta(minutes=10)
    assert holder(CustomerId("c"), before, veils) == veil.pseudonym
    assert holder(CustomerId("c"), after, veils) == "c"
    assert holder(CustomerId("d"), before, veils) == "d"


def test_a_pseudonym_does_not_show_the_customer() -> None:
    assert "c-1" not in pseudonym_of("x-1")
    assert pseudonym_of("x-1") == pseudonym_of("x-1") != pseudonym_of("x-2")
