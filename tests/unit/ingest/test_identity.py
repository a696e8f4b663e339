"""Who is who: links, absorptions, conflicts, whatever the order of the events."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.identity import Identity, Naming, Resolved, linking, resolve

AT = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def naming(customer: str | None = None, anonymous: str | None = None, event: str = "e") -> Naming:
    return Naming(event, customer, anonymous, AT)


def after(*namings: Naming) -> dict[str, Identity]:
    return {one.id: one for one in resolve({}, namings).changed}


def test_a_customer_stands_for_itself() -> None:
    assert resolve({}, [naming("c")]).resolved == [Resolved("c", None)]


def test_a_visitor_stands_for_itself_until_linked() -> None:
    outcome = resolve({}, [naming(None, "v"), naming("c", "v"), naming(None, "v")])

    assert outcome.resolved == [
        Resolved("v", None),
        Resolved("c", None, absorbed="v"),
        Resolved("c", "v"),
    ]


def test_a_visitor_without_events_of_its_own_is_told_too_because_it_may_have_some_later() -> None:
    assert resolve({}, [naming("c", "v")]).resolved == [Resolved("c", None, absorbed="v")]


def test_a_repetition_that_is_not_published_does_not_appear() -> None:
    silent = Naming("e", None, "v", AT, leaves=False)

    (visitor,) = resolve({}, [silent]).changed
    assert not visitor.appeared


def test_a_link_is_told_once() -> None:
    twice = resolve({}, [naming("c", "v"), naming("c", "v")]).resolved
    assert [one.absorbed for one in twice] == ["v", None]


def test_the_first_link_holds_and_a_second_one_is_a_conflict() -> None:
    outcome = resolve({}, [naming("c-1", "v"), naming("c-2", "v", "e-2"), naming(None, "v")])

    assert [one.subject for one in outcome.resolved] == ["c-1", "c-2", "c-1"]
    (conflict,) = outcome.conflicts
    assert (conflict.anonymous_id, conflict.customer_id, conflict.kept_id) == ("v", "c-2", "c-1")
    assert conflict.event_id == "e-2"


def test_two_known_customers_are_not_merged() -> None:
    outcome = resolve({}, [naming("c-1"), naming("c-2", "c-1")])

    assert [one.subject for one in outcome.resolved] == ["c-1", "c-2"]
    assert len(outcome.conflicts) == 1


def test_an_id_that_is_both_visitor_and_customer_in_one_event_is_one_id() -> None:
    outcome = resolve({}, [naming("x", "x")])

    assert outcome.resolved == [Resolved("x", None)]
    assert not outcome.conflicts


def test_a_link_to_an_absorbed_id_leads_straight_to_the_survivor() -> None:
    known = after(naming("c", "v"))

    outcome = resolve(known, [naming("v", "w"), naming(None, "w")])

    assert outcome.resolved == [Resolved("c", "v", absorbed="w"), Resolved("c", "w")]


def test_only_so_many_visitors_lead_to_a_customer_and_a_further_one_stands_for_itself() -> None:
    namings = [naming("c", f"v-{n}", f"e-{n}") for n in range(4)] + [naming(None, "v-3")]

    outcome = resolve({}, namings, {"c": 1}, links_max=3)

    assert [one.absorbed for one in outcome.resolved] == ["v-0", "v-1", None, None, None]
    assert outcome.resolved[-1] == Resolved("v-3", None)
    assert [(one.anonymous_id, one.customer_id, one.kept_id) for one in outcome.conflicts] == [
        ("v-2", "c", "v-2"),
        ("v-3", "c", "v-3"),
    ]
    assert {one.id for one in outcome.changed} == {"c", "v-0", "v-1", "v-2", "v-3"}


def test_a_visitor_whom_a_full_customer_did_not_get_may_belong_to_another() -> None:
    outcome = resolve({}, [naming("c", "v"), naming("d", "v")], {"c": 3}, links_max=3)

    assert [one.absorbed for one in outcome.resolved] == [None, "v"]


def test_links_are_counted_of_those_only_who_may_get_one_more() -> None:
    known = after(naming("c", "v"))

    assert (
        linking(known, [naming("c", "v"), naming("c"), naming(None, "w"), naming("d", "d")])
        == set()
    )
    assert linking(known, [naming("v", "w"), naming("d", "w")]) == {"c", "d"}


class Event(NamedTuple):
    id: str
    customer: str | None
    anonymous: str | None


# Each visitor belongs to one customer, so that no order makes a conflict.
def _events(pairs: list[tuple[int, bool, bool]]) -> list[Event]:
    return [
        Event(
            f"e-{place}",
            f"c-{visitor % 3}" if named or not seen else None,
            f"v-{visitor}" if seen or not named else None,
        )
        for place, (visitor, named, seen) in enumerate(pairs)
    ]


HISTORIES = st.lists(
    st.tuples(st.integers(0, 8), st.booleans(), st.booleans()), min_size=1, max_size=30
).map(_events)


def _run(events: list[Event], cuts: list[int]) -> tuple[dict[str, str], dict[str, str], set[str]]:
    """Canonical ids, the subject of each event once merges are applied, and the merged ids."""
    known: dict[str, Identity] = {}
    subjects: dict[str, str] = {}
    merged: set[str] = set()
    borders = [0, *sorted(cut % (len(events) + 1) for cut in cuts), len(events)]
    for start, end in pairwise(borders):
        namings = [
            Naming(one.id, one.customer, one.anonymous, AT + timedelta(seconds=place))
            for place, one in enumerate(events[start:end], start)
        ]
        outcome = resolve(known, namings)
        known |= {one.id: one for one in outcome.changed}
        for one, resolved in zip(namings, outcome.resolved, strict=True):
            if resolved.absorbed:
                assert resolved.absorbed not in merged, "an id is absorbed once"
                merged.add(resolved.absorbed)
            assert resolved.subject not in merged, "nothing is published under an absorbed id"
            subjects[one.event_id] = resolved.subject
    canonical = {name: one.canonical_id for name, one in known.items()}
    return canonical, {e: canonical[s] for e, s in subjects.items()}, merged


@given(HISTORIES, st.data())
def test_any_order_and_any_repetition_ends_in_the_same_links_and_subjects(
    events: list[Event], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(events + data.draw(st.lists(st.sampled_from(events)))))

    canonical, subjects, _ = _run(events, [])
    other_canonical, other_subjects, _ = _run(shuffled, [])

    assert canonical == other_canonical
    assert subjects == other_subjects


@given(HISTORIES, st.lists(st.integers(0, 40), max_size=5))
def test_the_borders_of_batches_change_nothing(events: list[Event], cuts: list[int]) -> None:
    assert _run(events, []) == _run(events, cuts)


@given(
    st.lists(st.tuples(st.sampled_from([None, *"abcd"]), st.sampled_from([*"abcd"])), max_size=30)
)
def test_whatever_is_named_with_whatever_there_are_no_chains(
    pairs: list[tuple[str | None, str]],
) -> None:
    known = {one.id: one for one in resolve({}, [naming(c, a) for c, a in pairs]).changed}

    for one in known.values():
        assert known[one.canonical_id].canonical_id == one.canonical_id
        assert not one.absorbed or known[one.canonical_id].known
        assert one.absorbed == (one.linked_at is not None)
