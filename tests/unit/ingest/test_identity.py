"""Who is who: links, absorptions, conflicts, whatever the order of the events."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.identity import (
    BY_EARLIER,
    BY_EVENT,
    BY_KNOWN,
    Bounds,
    Counts,
    Getting,
    Identity,
    Move,
    Naming,
    Outcome,
    Resolved,
    contested,
    linking,
    moving,
    part,
    resolve,
)

AT = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)


def naming(
    customer: str | None = None, anonymous: str | None = None, event: str = "e", hour: int = 12
) -> Naming:
    return Naming(event, customer, anonymous, AT.replace(hour=hour), AT)


def joins(name: str, customer: str) -> list[Move]:
    return [Move(name, None, customer, AT, BY_EVENT)]


def told(subject: str, alias: str | None = None, *moves: Move) -> Resolved:
    return Resolved(subject, alias, moves)


def moves(outcome: Outcome) -> list[tuple[str, str | None, str | None]]:
    return [(each.id, each.left, each.joined) for one in outcome.resolved for each in one.moves]


def after(*namings: Naming) -> dict[str, Identity]:
    return {one.id: one for one in resolve({}, namings).changed}


def test_a_customer_stands_for_itself() -> None:
    assert resolve({}, [naming("c")]).resolved == [Resolved("c", None)]


def test_a_visitor_stands_for_itself_until_linked() -> None:
    outcome = resolve({}, [naming(None, "v"), naming("c", "v"), naming(None, "v")])

    assert outcome.resolved == [
        Resolved("v", None),
        told("c", None, *joins("v", "c")),
        Resolved("c", "v"),
    ]


def test_a_visitor_without_events_of_its_own_is_told_too_because_it_may_have_some_later() -> None:
    assert resolve({}, [naming("c", "v")]).resolved == [told("c", None, *joins("v", "c"))]


def test_a_repetition_that_is_not_published_does_not_appear() -> None:
    silent = replace(naming(None, "v"), leaves=False)

    (visitor,) = resolve({}, [silent]).changed
    assert not visitor.appeared


def test_a_link_is_told_once() -> None:
    assert moves(resolve({}, [naming("c", "v"), naming("c", "v")])) == [("v", None, "c")]


def test_the_first_link_holds_and_a_second_one_is_a_conflict() -> None:
    outcome = resolve(
        {}, [naming("c-1", "v"), naming("c-2", "v", "e-2", hour=13), naming(None, "v")]
    )

    assert [one.subject for one in outcome.resolved] == ["c-1", "c-2", "c-1"]
    (conflict,) = outcome.conflicts
    assert (conflict.anonymous_id, conflict.customer_id, conflict.kept_id) == ("v", "c-2", "c-1")
    assert (conflict.event_id, conflict.reason) == ("e-2", "other_customer")


def test_a_link_that_happened_before_the_one_there_is_takes_its_place() -> None:
    outcome = resolve({}, [naming("c-2", "v", "e-2", hour=13), naming("c-1", "v", "e-1")])

    assert moves(outcome) == [("v", None, "c-2"), ("v", "c-2", "c-1")]
    assert outcome.resolved[1].moves[0].why == BY_EARLIER
    # What was told of an id never goes back in time, so that who orders by time ends right.
    assert outcome.resolved[1].moves[0].at == AT.replace(hour=13)
    (conflict,) = outcome.conflicts
    assert (conflict.customer_id, conflict.kept_id, conflict.event_id) == ("c-2", "c-1", "e-2")


def test_of_links_at_the_same_time_that_of_the_smaller_event_id_counts() -> None:
    one, other = naming("c-1", "v", "e-1"), naming("c-2", "v", "e-2")

    for order in ([one, other], [other, one]):
        assert {one.id: one for one in resolve({}, order).changed}["v"].parent_id == "c-1"


def test_a_linked_id_that_turns_out_to_be_a_customers_own_stands_for_itself() -> None:
    outcome = resolve({}, [naming("c", "v"), naming("v")])

    assert moves(outcome) == [("v", None, "c"), ("v", "c", None)]
    assert outcome.resolved[1] == told("v", None, Move("v", "c", None, AT, BY_KNOWN))
    assert {one.id: one.known for one in outcome.changed} == {"c": True, "v": True}


def test_what_was_undone_no_event_links_again_whenever_it_happened() -> None:
    alone, move = part(after(naming("c", "v"))["v"], AT)
    assert (move.left, move.joined) == ("c", None)

    for hour in (1, 12, 23):
        outcome = resolve(
            {"v": alone}, [naming("c", "v", hour=hour), naming("d", "v", hour=hour), naming("v")]
        )
        assert moves(outcome) == []
        assert [one.reason for one in outcome.conflicts] == ["undone", "undone"]


def test_an_undone_visitor_is_settled_so_nothing_is_counted_or_locked_for_it() -> None:
    alone, _ = part(after(naming("c", "v"))["v"], AT)

    assert linking({"v": alone}, [naming("d", "v", hour=1)]) == set()
    assert contested({"v": alone}, [naming("d", "v", hour=1)]) == set()
    outcome = resolve({"v": alone}, [naming(None, "v"), naming("v")])
    assert {one.id: one.known for one in outcome.changed} == {"v": True}


def test_two_known_customers_are_not_merged() -> None:
    outcome = resolve({}, [naming("c-1"), naming("c-2", "c-1")])

    assert [one.subject for one in outcome.resolved] == ["c-1", "c-2"]
    assert len(outcome.conflicts) == 1


def test_an_id_that_is_both_visitor_and_customer_in_one_event_is_one_id() -> None:
    outcome = resolve({}, [naming("x", "x")])

    assert outcome.resolved == [Resolved("x", None)]
    assert not outcome.conflicts


def test_a_link_to_a_customer_of_many_ids_leads_straight_to_the_one_that_stands_for_them() -> None:
    old = Identity("old", "new", AT, known=True, parent_id="new")

    outcome = resolve({"old": old}, [naming("old", "w"), naming(None, "w")])

    assert outcome.resolved == [
        told("new", "old", *joins("w", "old")),
        Resolved("new", "w"),
    ]


def test_only_so_many_visitors_lead_to_a_customer_and_a_further_one_stands_for_itself() -> None:
    namings = [naming("c", f"v-{n}", f"e-{n}") for n in range(4)] + [naming(None, "v-3")]

    outcome = resolve({}, namings, Counts({"c": 1}), Bounds(ids_max=3))

    assert moves(outcome) == [("v-0", None, "c"), ("v-1", None, "c")]
    assert outcome.resolved[-1] == Resolved("v-3", None)
    assert [(one.anonymous_id, one.customer_id, one.kept_id) for one in outcome.conflicts] == [
        ("v-2", "c", "v-2"),
        ("v-3", "c", "v-3"),
    ]
    assert {one.reason for one in outcome.conflicts} == {"too_many_ids"}
    assert {one.id for one in outcome.changed} == {"c", "v-0", "v-1", "v-2", "v-3"}


def test_only_so_many_visitors_come_to_a_customer_on_one_day() -> None:
    counts = Counts(merges={("c", MIDNIGHT.date()): 1})
    tomorrow = replace(naming("c", "v-3"), received_at=AT + timedelta(days=1))

    outcome = resolve(
        {}, [naming("c", "v-1"), naming("c", "v-2"), tomorrow], counts, Bounds(merges_max=2)
    )

    assert moves(outcome) == [("v-1", None, "c"), ("v-3", None, "c")]
    assert [(one.anonymous_id, one.reason) for one in outcome.conflicts] == [
        ("v-2", "too_many_merges")
    ]


def test_a_visitor_moves_only_so_often_a_day_and_stays_where_it_is_then() -> None:
    backwards = [naming(f"c-{hour}", "v", f"e-{hour}", hour) for hour in (9, 8, 7, 6)]
    tomorrow = replace(naming("c-5", "v", "e-5", 5), received_at=AT + timedelta(days=1))

    outcome = resolve({}, [*backwards, tomorrow], bounds=Bounds(moves_max=3))

    assert [joined for _, _, joined in moves(outcome)] == ["c-9", "c-8", "c-7", "c-5"]
    (refused,) = [one for one in outcome.conflicts if one.reason == "too_many_moves"]
    assert (refused.anonymous_id, refused.customer_id, refused.kept_id) == ("v", "c-6", "c-7")


def test_moves_of_before_count_and_are_counted_of_those_only_who_may_move() -> None:
    known = after(naming("c", "v"), naming("c", "w"))
    earlier = naming("d", "v", "e-0", hour=11)

    assert moving(known, [earlier, naming("d", "w", hour=13), naming("c", "w", hour=11)]) == {
        ("v", MIDNIGHT)
    }
    counts = Counts(moves={("v", MIDNIGHT.date()): 2})
    assert moves(resolve(known, [earlier], counts, Bounds(moves_max=2))) == []
    assert moves(resolve(known, [earlier], counts, Bounds(moves_max=3))) == [("v", "c", "d")]


def test_whom_an_earlier_event_claims_is_locked_though_a_limit_refuses_the_claim() -> None:
    known = after(naming("c", "v"), naming("c", "w"))
    claim = naming("d", "v", "e-0", hour=11)

    refused = resolve(known, [claim], Counts({"d": 3}), Bounds(ids_max=3))

    assert [one.id for one in refused.changed] == ["d"]
    assert contested(known, [claim, naming("d", "w", hour=13)]) == {"v"}


def test_a_visitor_whom_a_full_customer_did_not_get_may_belong_to_another() -> None:
    outcome = resolve({}, [naming("c", "v"), naming("d", "v")], Counts({"c": 3}), Bounds(3))

    assert moves(outcome) == [("v", None, "d")]


def test_links_are_counted_of_those_only_who_may_get_one_more() -> None:
    known = after(naming("c", "v"))

    assert linking(known, [naming("c", "v"), naming("c"), naming(None, "w"), naming("d", "d")]) == (
        set()
    )
    assert linking(known, [naming("c", "w"), naming("d", "w")]) == {
        Getting("c", "c", MIDNIGHT),
        Getting("d", "d", MIDNIGHT),
    }
    assert linking(known, [naming("d", "v", hour=13)]) == set()
    assert linking(known, [naming("c", "v", hour=11)]) == set()
    assert linking(known, [naming("d", "v", hour=11)]) == {Getting("d", "d", MIDNIGHT)}


class Event(NamedTuple):
    id: str
    customer: str | None
    anonymous: str | None
    minute: int


# Few ids, so that each is named as a customer here and as a visitor there, with everybody else.
EVENTS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.sampled_from("abcdef")),
        st.sampled_from("abcdef"),
        st.integers(0, 5),
    ),
    min_size=1,
    max_size=25,
).map(lambda drawn: [Event(f"e-{place}", *one) for place, one in enumerate(drawn)])


class Ended(NamedTuple):
    """Where everything ended: `parents` as resolved, `told` as who only hears the moves has it."""

    parents: dict[str, str | None]
    told: dict[str, str]
    owners: dict[str, str]


def _run(events: list[Event], cuts: list[int], undone: dict[int, str] | None = None) -> Ended:
    """Resolves in batches; `undone` tells after how many events the link of an id is undone."""
    known: dict[str, Identity] = {}
    told: dict[str, str] = {}
    originals: dict[str, str] = {}
    stops = {0, len(events), *(cut % (len(events) + 1) for cut in cuts), *(undone or {})}
    for start, end in pairwise(sorted(stops)):
        outcome = resolve(known, [_naming(one) for one in events[start:end]])
        known |= {one.id: one for one in outcome.changed}
        for one, resolved in zip(events[start:end], outcome.resolved, strict=True):
            _hear(told, resolved.moves)
            assert resolved.subject not in told, "nothing is published under an absorbed id"
            originals[one.id] = resolved.alias or resolved.subject
        name = (undone or {}).get(end)
        if name in known and known[name].parent_id is not None:
            known[name], move = part(known[name], AT)
            _hear(told, [move])
    for each in known.values():
        assert each.canonical_id == (each.parent_id or each.id)
        assert not each.absorbed or known[each.canonical_id].known, "there are no chains"
    owners = {event: told.get(original, original) for event, original in originals.items()}
    return Ended({one.id: one.parent_id for one in known.values()}, told, owners)


def _naming(one: Event) -> Naming:
    return Naming(one.id, one.customer, one.anonymous, AT + timedelta(minutes=one.minute), AT)


def _hear(told: dict[str, str], moves: Sequence[Move]) -> None:
    for move in moves:
        assert told.get(move.id) == move.left, "an id leaves whom it belonged to"
        told.pop(move.id, None)
        if move.joined is not None:
            told[move.id] = move.joined


@given(EVENTS, st.data())
def test_any_order_and_any_repetition_ends_in_the_same_links_and_owners(
    events: list[Event], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(events + data.draw(st.lists(st.sampled_from(events)))))

    ended = _run(events, [])

    assert ended == _run(shuffled, [])
    assert ended.told == {one: to for one, to in ended.parents.items() if to is not None}


@given(EVENTS, st.lists(st.integers(0, 40), max_size=5))
def test_the_borders_of_batches_change_nothing(events: list[Event], cuts: list[int]) -> None:
    assert _run(events, []) == _run(events, cuts)


@given(EVENTS, st.data())
def test_a_visitor_once_parted_stands_alone_whatever_comes_before_or_after(
    events: list[Event], data: st.DataObject
) -> None:
    """The undo is a fact like any other: it does not matter which events were known by then."""
    linked = [one for one, to in _run(events, []).parents.items() if to is not None]
    if not linked:
        return
    visitor = data.draw(st.sampled_from(linked))
    others = {one: to for one, to in _run(events, []).parents.items() if one != visitor}
    shuffled = data.draw(st.permutations(events))
    ended = _run(shuffled, [], {len(events): visitor})
    place = _first_link(shuffled, visitor)

    assert ended.parents == {**others, visitor: None}
    assert _run(shuffled, [], {place: visitor}) == ended


def _first_link(events: list[Event], visitor: str) -> int:
    """After how many events the visitor is linked for the first time."""
    return next(
        place
        for place in range(1, len(events) + 1)
        if _run(events[:place], []).parents.get(visitor) is not None
    )
