"""The overview against a history that was counted by hand."""

from typing import Any

import pytest

from services.insights.main import build
from shared.events.commerce import OrderCompleted, OrderRefunded
from shared.events.engagement import (
    CustomerErased,
    CustomerMerged,
    CustomerUnmerged,
)
from shared.testing.builders import event
from shared.testing.harness import Running, running
from tests.integration.insights.history import day, everything
from tests.integration.insights.reading import MARCH, overview

# What the history of `everything()` comes to in March.
COUNTED: dict[str, Any] = {
    "period": {"from": "2026-03-01T00:00:00Z", "to": "2026-04-01T00:00:00Z"},
    # Anna, Ben, the visitor c-3 and c-4; Ben is known since February, c-4 did nothing herself.
    "customers": {"known": 4, "active": 2, "new": 3},
    "commerce": {
        "orders": 4,
        "revenue": [
            {
                "currency": "EUR",
                "orders": 1,
                "gross": "5.00",
                "refunded": "0.00",
                "net": "5.00",
                "average_order_value": "5.00",
            },
            # 30 + 12.50 + 7, and the late refund of 20.25.
            {
                "currency": "GBP",
                "orders": 3,
                "gross": "49.50",
                "refunded": "20.25",
                "net": "29.25",
                "average_order_value": "16.50",
            },
        ],
        "buyers": 1,
        "repeat_purchase_rate": 1.0,
    },
    "retention": {
        "assessed": 2,
        "at_risk": 1,
        "mean_churn_risk": pytest.approx(0.5),
        "by_band": {"low": 1, "medium": 0, "high": 1, "critical": 0},
        "by_segment": [
            {
                "name": "loyal",
                "customers": 2,
                "at_risk": 1,
                "mean_churn_risk": pytest.approx(0.5),
            }
        ],
        "by_lifecycle": [
            {
                "name": "active",
                "customers": 2,
                "at_risk": 1,
                "mean_churn_risk": pytest.approx(0.5),
            }
        ],
        "clv": [{"currency": "GBP", "historic": "81.00", "predicted_12m": "260.25"}],
    },
    "interventions": {
        "planned": 2,
        "approved": 0,
        "sent": 1,
        "failed": 0,
        "suppressed": 1,
        "suppressed_by_rule": {"consent": 1},
        "dismissed": 0,
        "converted": 1,
    },
    "loyalty": {
        "awarded": 42,
        "reversed": 20,
        "redeemed": 5,
        "released": 0,
        "expired": 3,
        "members_by_tier": {"bronze": 1, "gold": 1},
    },
    "webhooks": {
        "failing": 2,
        "exhausted": 1,
        "recovered": 0,
        "disabled": 1,
        "endpoints_by_state": {"disabled": 1, "failing": 1},
    },
}


async def test_a_month_counted_by_hand(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(*everything())
        march = await overview(service, **MARCH)
    assert march["segment"] is None
    for part, figures in COUNTED.items():
        assert march[part] == figures, part


async def test_a_period_takes_its_first_day_and_leaves_its_end(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(*everything())
        february = await overview(service, **{"from": "2026-02-10", "to": "2026-03-01"})
        before = await overview(service, **{"from": "2026-02-01", "to": "2026-02-10"})
        usual = await overview(service)
    assert february["commerce"]["revenue"][0]["net"] == "80.00"
    assert february["customers"] == {"known": 1, "active": 1, "new": 1}
    assert before["commerce"]["revenue"] == []
    assert before["customers"] == {"known": 0, "active": 0, "new": 0}
    assert usual["period"] == {"from": "2026-02-01T00:00:00Z", "to": "2026-03-03T00:00:00Z"}


async def test_a_segment_is_that_of_the_person_now(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(*everything())
        loyal = await overview(service, segment="loyal", **MARCH)
        champions = await overview(service, segment="champions", **MARCH)
    # Anna and Ben, with what Anna did as a guest.
    assert loyal["customers"]["known"] == 2
    assert loyal["commerce"]["orders"] == 4
    assert loyal["interventions"]["suppressed"] == 0
    assert loyal["loyalty"]["members_by_tier"] == {"bronze": 1, "gold": 1}
    assert champions["customers"]["known"] == champions["retention"]["assessed"] == 0
    assert champions["commerce"]["orders"] == 0


async def test_an_order_placed_as_guest_and_again_signed_in_counts_once(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(
            event(OrderCompleted, customer="a-9", at=day(3, 1), order_id="X", total="10"),
            event(OrderCompleted, customer="c-9", at=day(3, 1), order_id="X", total="10"),
            event(CustomerMerged, customer="a-9", at=day(3, 2), survivor_id="c-9"),
        )
        once = await overview(service, **MARCH)
        await service.feed(
            event(CustomerUnmerged, customer="a-9", at=day(3, 2, 10), survivor_id="c-9")
        )
        apart = await overview(service, **MARCH)
    assert (once["customers"]["known"], once["commerce"]["orders"]) == (1, 1)
    assert (apart["customers"]["known"], apart["commerce"]["orders"]) == (2, 2)


async def test_a_refund_counts_in_the_period_it_was_made_in_however_late_it_is_heard_of(
    database_url: str,
) -> None:
    async with running(build, database_url) as service:
        await service.feed(event(OrderCompleted, at=day(2, 10), total="80"))
        before = await overview(service, **{"from": "2026-02-01", "to": "2026-03-01"})
        await service.feed(event(OrderRefunded, at=day(2, 20), amount="30"))
        after = await overview(service, **{"from": "2026-02-01", "to": "2026-03-01"})
        march = await overview(service, **MARCH)
    assert before["commerce"]["revenue"][0]["net"] == "80.00"
    assert after["commerce"]["revenue"][0]["net"] == "50.00"
    assert march["commerce"]["revenue"] == []


async def test_an_erasure_leaves_the_sums_and_nothing_of_the_person(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(*everything())
        before = await overview(service, **MARCH)
        await service.feed(event(CustomerErased, customer="c-1", at=day(3, 3), erasure_id="x-1"))
        after = await overview(service, **MARCH)
        # Heard of after the erasure, happened before: counted, unnamed.
        await service.feed(
            event(OrderCompleted, customer="c-1", at=day(3, 2, 11), order_id="A9", total="1")
        )
        late = await overview(service, **MARCH)
        kept = await _everything_stored(service)
        reply = await service.client.get("/v1/customers/a-1/timeline", headers=service.key("read"))

    for flows in ("customers", "commerce", "interventions", "webhooks"):
        assert after[flows] == before[flows], flows
    assert after["retention"]["by_band"] == {"low": 0, "medium": 0, "high": 1, "critical": 0}
    assert after["loyalty"] == {**before["loyalty"], "members_by_tier": {"bronze": 1}}
    assert late["commerce"]["orders"] == before["commerce"]["orders"] + 1
    assert late["customers"] == before["customers"]
    for trace in ("c-1", "a-1", "A1", "A9", "G1", "o1"):
        assert f"'{trace}'" not in kept
    assert reply.status_code == 404


async def _everything_stored(service: Running) -> str:
    await service.run_job("recount")
    async with service.context.read() as session:
        return str(
            [
                [tuple(row) for row in await session.driver.fetch(f"TABLE {table}")]
                for table in service.service.metadata.tables
            ]
        )


async def test_who_comes_back_after_an_erasure_is_somebody_new(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(
            event(OrderCompleted, at=day(3, 1)),
            event(CustomerErased, at=day(3, 2), erasure_id="x-1"),
            event(OrderCompleted, at=day(3, 3), order_id="o-2"),
        )
        found = await overview(service, **MARCH)
        reply = await service.client.get("/v1/customers/c-1/timeline", headers=service.key("read"))
    assert found["customers"]["known"] == 2
    assert found["commerce"]["orders"] == 2
    assert [entry["details"]["order_id"] for entry in reply.json()["items"]] == ["o-2"]


@pytest.mark.parametrize(
    "query",
    [
        {"from": "2026-03-02", "to": "2026-03-02"},
        {"from": "yesterday"},
        {"from": "1990-01-01"},
        # Not seconds since 1970, and not the time of wherever the server stands.
        {"to": "20240101"},
        {"to": "2026-03-02T12:00:00"},
    ],
)
async def test_what_is_no_period_is_refused(database_url: str, query: dict[str, str]) -> None:
    async with running(build, database_url, consume=False) as service:
        reply = await service.client.get(
            "/v1/metrics/overview", params=query, headers=service.key("read")
        )
    assert reply.status_code == 422
    assert reply.json()["errors"]


async def test_only_keys_that_may_read_are_answered(database_url: str) -> None:
    async with running(build, database_url, consume=False) as service:
        for path in ("/v1/metrics/overview", "/v1/customers/c-1/timeline"):
            assert (await service.client.get(path)).status_code == 401
            reply = await service.client.get(path, headers=service.key("ingest"))
            assert reply.status_code == 403


async def test_every_figure_explains_its_formula(database_url: str) -> None:
    async with running(build, database_url, consume=False) as service:
        schemas = (await service.client.get("/openapi.json")).json()["components"]["schemas"]
    for name in (
        "Customers",
        "Commerce",
        "Revenue",
        "Retention",
        "Group",
        "Lifetime",
        "Interventions",
        "Loyalty",
        "Webhooks",
    ):
        for field, schema in schemas[name]["properties"].items():
            figure = schema.get("type") != "array" and field not in {"currency", "name"}
            assert not figure or schema.get("description"), f"{name}.{field}"
