"""How a large batch is shared out among transactions side by side."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from shared.runtime.batch import Slice, in_lanes
from shared.runtime.log import Record, TopicPartition


def a_slice(topic: str, partition: int, records: int) -> Slice:
    read = [Record(topic, partition, offset, b"k", b"v") for offset in range(records)]
    return Slice(TopicPartition(topic, partition), read, ())


def sizes(lanes: Sequence[Sequence[Slice]]) -> list[int]:
    return [sum(len(one.records) for one in lane) for lane in lanes]


slices = st.lists(
    st.builds(a_slice, st.sampled_from("ab"), st.integers(0, 11), st.integers(1, 40)),
    min_size=1,
    max_size=24,
    unique_by=lambda one: one.partition,
)


@given(slices, st.integers(1, 4), st.integers(1, 100))
def test_nothing_is_left_out_and_a_partition_number_stays_in_one_lane(
    given_slices: list[Slice], lanes: int, records_min: int
) -> None:
    found = in_lanes(given_slices, lanes, records_min)
    assert 1 <= len(found) <= lanes
    assert sorted(one.partition for lane in found for one in lane) == sorted(
        one.partition for one in given_slices
    )
    numbers = [{one.partition.partition for one in lane} for lane in found]
    assert sum(map(len, numbers)) == len(set().union(*numbers))


def test_lanes_are_about_equal_and_a_small_batch_has_one() -> None:
    even = [a_slice("a", number, 100) for number in range(6)]
    assert sizes(in_lanes(even, 2, 250)) == [300, 300]
    assert sizes(in_lanes(even, 2, 301)) == [600]
    assert sizes(in_lanes([a_slice("a", 0, 900), *even[1:]], 2, 250)) == [900, 500]
