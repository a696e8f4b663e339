"""Traits of people and groups, and the linking of ids."""

from typing import Any

import pytest

from tests.unit.ingest.segment.cases import (
    call,
    data_of,
    event_of,
    paths,
)


def test_who_somebody_is() -> None:
    data = data_of(
        call(
            "identify",
            traits={
                "email": "ada@example.org",
                "phone": 441632960000,
                "firstName": "Ada",
                "last_name": "Lovelace",
                "birthday": "1815-12-10T00:00:00.000Z",
                "createdAt": "2020-05-01",
                "address": {"city": "London", "country": "GB"},
                "company": {"name": "Engines", "industry": "machines", "employee_count": 2},
                "annualRevenue": 1_000_000.5,
                "consent": {"email": {"marketing": True}},
                "plan": "pro",
                "avatar": None,
            },
            context={"timezone": "Europe/London", "locale": "en-GB", "traits": {"vip": True}},
        )
    )
    assert data == {
        "email": "ada@example.org",
        "phone": "441632960000",
        "name": "Ada Lovelace",
        "birthday": "1815-12-10",
        "timezone": "Europe/London",
        "locale": "en-GB",
        "country": "GB",
        "industry": "machines",
        "company": "Engines",
        "acquired_at": "2020-05-01T00:00:00Z",
        "annual_revenue": "1000000.5",
        "consent": {"email": {"marketing": True}},
        "custom": {
            "vip": True,
            "firstName": "Ada",
            "last_name": "Lovelace",
            "address_city": "London",
            "address_country": "GB",
            "company_name": "Engines",
            "company_industry": "machines",
            "company_employee_count": 2,
            "plan": "pro",
        },
    }


def test_traits_may_stand_in_the_context_alone_and_those_of_the_call_win() -> None:
    within = {"email": "old@example.org", "name": "Ada"}
    one = call("identify", context={"traits": within}, traits={"email": "new@example.org"})
    assert data_of(one) == {"email": "new@example.org", "name": "Ada"}


@pytest.mark.parametrize(
    ("trait", "value"),
    [
        ("birthday", "tomorrow"),
        ("birthday", 5),
        ("createdAt", "once"),
        ("createdAt", -5),
        ("createdAt", 1e300),
        ("email", True),
        ("phone", "5" * 201),
        ("annualRevenue", "a lot"),
        ("annualRevenue", -5),
        ("consent", True),
    ],
)
def test_a_known_trait_that_does_not_fit_is_kept_as_a_free_one(trait: str, value: Any) -> None:
    assert data_of(call("identify", traits={trait: value})) == {"custom": {trait: value}}


@pytest.mark.parametrize("moment", [1_588_291_200, 1_588_291_200_000, "2020-05-01T02:00:00+02:00"])
def test_when_somebody_came_may_be_seconds_or_milliseconds(moment: Any) -> None:
    data = data_of(call("identify", traits={"created_at": moment}))
    assert data == {"acquired_at": "2020-05-01T00:00:00Z"}


def test_a_group_names_the_company_and_leaves_the_persons_own_traits_alone() -> None:
    traits = {"name": "Engines", "industry": "machines", "email": "info@example.org", "plan": "x"}
    assert data_of(call("group", groupId="g-1", traits=traits)) == {
        "company": "Engines",
        "industry": "machines",
        "custom": {"group_email": "info@example.org", "group_plan": "x", "group_id": "g-1"},
    }
    assert paths(call("group")) == ["groupId"]


def test_an_alias_names_both_ids() -> None:
    event = event_of(call("alias", previousId="device-1"))
    assert event["type"] == "customer.updated"
    assert (event["customer_id"], event["anonymous_id"]) == ("c-1", "device-1")
    assert paths(call("alias")) == ["previousId"]
    assert paths(call("alias", previousId="null")) == ["previousId"]
    assert paths(call("alias", previousId="a", userId=None)) == ["userId"]
