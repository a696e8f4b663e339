"""Traits that tell a person: one spelling, a keyed digest, and nothing for what tells nobody."""

import pytest

from services.ingest.domain.traits import (
    TraitKind,
    digest_of,
    normal_email,
    normal_phone,
    traits_of,
)
from shared.events.engagement import CustomerUpdatedData

PHONE: frozenset[TraitKind] = frozenset({"phone"})
SECRET = bytes(range(32))
BOTH: frozenset[TraitKind] = frozenset({"email", "phone"})


@pytest.mark.parametrize(
    "spelled", ["Ann@Example.COM", "  ann@example.com ", "ann\uff20example.com"]
)
def test_an_address_has_one_spelling(spelled: str) -> None:
    assert normal_email(spelled) == "ann@example.com"


@pytest.mark.parametrize("text", ["", "ann", "@example.com", "ann@", "a nn@example.com", "a@b@c.d"])
def test_what_is_no_address_is_nobodys(text: str) -> None:
    assert normal_email(text) is None


@pytest.mark.parametrize(
    "spelled", ["+49 151 2345-678", "0049 (151) 2345678", "+491512345678", "+49.151/2345678"]
)
def test_a_number_has_one_spelling(spelled: str) -> None:
    assert normal_phone(spelled) == "+491512345678"


@pytest.mark.parametrize(
    "text", ["0151 2345678", "+49", "+0151234567", "+4915123456789012", "call me"]
)
def test_a_number_without_its_country_is_nobodys(text: str) -> None:
    assert normal_phone(text) is None


def test_only_the_kinds_that_the_shop_has_verified_count() -> None:
    data = CustomerUpdatedData(email="ann@example.com", phone="+49 151 2345678")

    assert [one.kind for one in traits_of(data, PHONE, SECRET)] == ["phone"]
    assert [one.kind for one in traits_of(data, BOTH, SECRET)] == ["email", "phone"]
    assert traits_of(CustomerUpdatedData(email="none"), BOTH, SECRET) == []


def test_a_digest_depends_on_key_and_kind_and_does_not_show_the_trait() -> None:
    digest = digest_of("email", "ann@example.com", SECRET)

    assert digest != digest_of("phone", "ann@example.com", SECRET)
    assert digest != digest_of("email", "ann@example.com", bytes(32))
    assert b"ann" not in digest
    assert len(digest) == 16
