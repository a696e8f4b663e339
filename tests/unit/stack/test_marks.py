"""How far dead letters were sent again, and of which broker that is true."""

from shared.runtime.log import Record
from stack.letters import mark_of, unsent


def letters(*offsets: int, at: int = 1_000) -> list[Record]:
    return [Record("loyalty.dead", 0, n, b"c", b"{}", (), at + n) for n in offsets]


def test_without_a_mark_all_are_sent() -> None:
    assert unsent(letters(0, 1), None) == letters(0, 1)


def test_after_a_mark_only_what_is_new() -> None:
    mark = mark_of(letters(1)[0])
    assert unsent(letters(0, 1), mark) == []
    assert unsent(letters(0, 1, 2), mark) == letters(2)


def test_what_retention_removed_does_not_make_a_mark_untrue() -> None:
    assert unsent(letters(7, 8), mark_of(letters(5)[0])) == letters(7, 8)


def test_a_mark_of_another_broker_is_not_believed() -> None:
    mark = mark_of(letters(2)[0])
    fewer, others = letters(0, 1, at=9_000), letters(0, 1, 2, 3, at=9_000)
    assert unsent(fewer, mark) == fewer
    assert unsent(others, mark) == others
