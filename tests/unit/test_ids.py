"""Derived ids are for ever; random ones are never met twice; logs get neither."""

import uuid

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.ids import (
    TENURE_NAMESPACE,
    customer_hash,
    derived_event_id,
    derived_id,
    random_event_id,
    random_id,
)


def test_a_derived_id_is_pinned_because_stored_events_carry_it() -> None:
    assert derived_event_id("order-1", "points.awarded") == PINNED
    assert uuid.UUID(PINNED).version == 5


PINNED = "38a1ad22-6e24-52d3-9196-1be15d4190f6"


@given(
    st.tuples(st.text(), st.text(), st.integers(0)), st.tuples(st.text(), st.text(), st.integers(0))
)
def test_ids_are_equal_only_when_cause_kind_and_ordinal_are(
    one: tuple[str, str, int], other: tuple[str, str, int]
) -> None:
    separators = "\x1f" in "".join((*one[:2], *other[:2]))
    assert separators or (derived_id(*one) == derived_id(*other)) == (one == other)


@pytest.mark.parametrize("make", [lambda: random_id("ep"), random_event_id])
def test_random_ids_do_not_repeat(make: "type[str]") -> None:
    assert len({make() for _ in range(1000)}) == 1000


def test_a_log_name_of_a_customer_is_stable_and_not_the_id() -> None:
    assert customer_hash("maren@customer.example") == customer_hash("maren@customer.example")
    assert "maren" not in customer_hash("maren@customer.example")
    assert len(customer_hash("c-1")) == 12


@given(st.text(), st.text(), st.integers(0, 100))
def test_a_derived_id_is_the_uuid5_of_the_standard_library(
    cause: str, kind: str, ordinal: int
) -> None:
    assume(not any("\ud800" <= one <= "\udfff" for one in cause + kind))
    expected = uuid.uuid5(TENURE_NAMESPACE, f"{cause}\x1f{kind}\x1f{ordinal}")
    assert derived_id(cause, kind, ordinal) == str(expected)
