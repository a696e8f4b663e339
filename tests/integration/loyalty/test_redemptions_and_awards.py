"""Points given and taken over HTTP: once per key, never more than there are."""

import asyncio
from datetime import timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest

from services.loyalty.handlers.erasure import erase_customer
from services.loyalty.main import build
from services.loyalty.store import loading
from shared.events.commerce import OrderCompleted, OrderRefunded
from shared.events.engagement import CustomerErased, CustomerMerged, CustomerUnmerged
from shared.events.loyalty import PointsAwarded, PointsRedeemed, PointsReleased
from shared.ids import CustomerId
from shared.testing.builders import event
from shared.testing.harness import Running, running

_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
LAST = "9999-12-31T23:59:59"


async def post(
    service: Running, path: str, body: dict[str, Any] | None = None, key: str | None = None
) -> httpx.Response:
    headers = service.key("operate") | ({"Idempotency-Key": key} if key else {})
    return await service.client.post(f"/v1{path}", json=body, headers=headers)


async def get(service: Running, path: str) -> Any:
    reply = await service.client.get(f"/v1{path}", headers=service.key("read"))
    assert reply.status_code == 200, reply.text
    return reply.json()


async def check(service: Running) -> None:
    result = await get(service, "/audit")
    assert result["ok"], result


async def test_of_32_redemptions_of_the_last_points_exactly_one_succeeds(
    database_url: str,
) -> None:
    async with running(build, database_url) as service:
        await service.feed(event(OrderCompleted, total="100"))
        replies = await asyncio.gather(
            *(post(service, "/members/c-1/redemptions", {"points": 100}) for _ in range(32))
        )
        statuses = sorted(reply.status_code for reply in replies)
        assert statuses == [201] + [409] * 31
        assert (await get(service, "/members/c-1"))["balance"]["reserved"] == 100
        await check(service)


async def test_32_first_awards_of_one_new_member_all_count(database_url: str) -> None:
    async with running(build, database_url) as service:
        gift = {"points": 5, "reason": "sorry"}
        replies = await asyncio.gather(
            *(post(service, "/members/c-1/awards", gift, f"k-{n}") for n in range(32))
        )
        assert {reply.status_code for reply in replies} == {201}
        assert (await get(service, "/members/c-1"))["balance"]["active"] == 160
        await check(service)


async def test_a_reservation_is_captured_once(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(event(OrderCompleted, total="100"))
        made = (await post(service, "/members/c-1/redemptions", {"points": 30})).json()
        assert made["state"] == "reserved"
        assert service.published(PointsRedeemed) == []
        for _ in range(2):
            reply = await post(service, f"/redemptions/{made['id']}/capture")
            assert (reply.status_code, reply.json()["state"]) == (200, "captured")
        refused = await post(service, f"/redemptions/{made['id']}/release")
        assert (refused.status_code, refused.json()["reason"]) == (409, "already_settled")
        await service.settle()
        (told,) = service.published(PointsRedeemed)
        assert (told.data.points, told.data.balance) == (30, 70)
        balance = (await get(service, "/members/c-1"))["balance"]
        assert (balance["active"], balance["reserved"]) == (70, 0)
        await check(service)


async def test_released_points_go_back_to_their_lot_with_its_old_end(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(event(OrderCompleted, total="100"))
        before = await get(service, "/members/c-1")
        made = (await post(service, "/members/c-1/redemptions", {"points": 30})).json()
        await post(service, f"/redemptions/{made['id']}/release")
        await service.settle()
        assert await get(service, "/members/c-1") == before
        assert [one.data.points for one in service.published(PointsReleased)] == [30]
        await check(service)


async def test_a_reservation_nobody_settles_is_given_back(database_url: str) -> None:
    async with running(build, database_url, settings={"reservation_seconds": 60}) as service:
        await service.feed(event(OrderCompleted, total="100"))
        made = (await post(service, "/members/c-1/redemptions", {"points": 30})).json()
        service.clock.advance(timedelta(seconds=59))
        await service.run_job("release_reservations")
        assert (await get(service, f"/redemptions/{made['id']}"))["state"] == "reserved"
        service.clock.advance(timedelta(seconds=1))
        late = await post(service, f"/redemptions/{made['id']}/capture")
        assert late.status_code == 409
        await service.run_job("release_reservations")
        assert (await get(service, f"/redemptions/{made['id']}"))["state"] == "released"
        assert (await get(service, "/members/c-1"))["balance"]["active"] == 100
        await check(service)


async def test_points_released_after_their_lot_ended_are_lost(database_url: str) -> None:
    async with running(build, database_url, settings={"reservation_seconds": 1e8}) as service:
        await service.feed(event(OrderCompleted, total="100"))
        made = (await post(service, "/members/c-1/redemptions", {"points": 30})).json()
        service.clock.advance(timedelta(days=731))
        await service.run_job("expire_lots")
        await post(service, f"/redemptions/{made['id']}/release")
        balance = (await get(service, "/members/c-1"))["balance"]
        assert (balance["active"], balance["reserved"]) == (0, 0)
        assert (await get(service, "/liability"))["expired"] == 100
        await check(service)


async def test_released_points_pay_a_debt_first(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(event(OrderCompleted, total="100"))
        made = (await post(service, "/members/c-1/redemptions", {"points": 80})).json()
        await service.feed(event(OrderRefunded, amount="100"))
        assert (await get(service, "/members/c-1"))["balance"]["debt"] == 80
        await post(service, f"/redemptions/{made['id']}/release")
        balance = (await get(service, "/members/c-1"))["balance"]
        assert (balance["active"], balance["reserved"], balance["debt"]) == (0, 0, 0)
        await check(service)


async def test_points_are_spent_across_linked_ids_and_stay_spent_when_they_part(
    database_url: str,
) -> None:
    async with running(build, database_url) as service:
        await service.feed(
            event(OrderCompleted, customer="c-1", order_id="a", total="60"),
            event(OrderCompleted, customer="c-2", order_id="b", total="70"),
            event(CustomerMerged, customer="c-2", survivor_id="c-1"),
        )
        made = (await post(service, "/members/c-1/redemptions", {"points": 100})).json()
        await service.feed(event(CustomerUnmerged, customer="c-2", survivor_id="c-1"))
        await post(service, f"/redemptions/{made['id']}/release")
        assert (await get(service, "/members/c-1"))["balance"]["active"] == 60
        assert (await get(service, "/members/c-2"))["balance"]["active"] == 70
        await check(service)


async def test_what_one_linked_id_owes_another_cannot_spend(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(
            event(OrderCompleted, customer="c-1", order_id="a", total="60"),
            event(OrderCompleted, customer="c-2", order_id="b", total="70"),
        )
        await post(service, "/members/c-1/redemptions", {"points": 60, "immediate": True})
        await service.feed(
            event(OrderRefunded, customer="c-1", order_id="a", amount="60"),
            event(CustomerMerged, customer="c-2", survivor_id="c-1"),
        )
        refused = await post(service, "/members/c-1/redemptions", {"points": 11})
        assert (refused.status_code, refused.json()["available"]) == (409, 10)
        taken = await post(service, "/members/c-1/redemptions", {"points": 10})
        assert taken.status_code == 201


@pytest.mark.parametrize(
    ("path", "body", "other"),
    [
        ("/members/c-1/awards", {"points": 7, "reason": "x"}, {"points": 8, "reason": "x"}),
        ("/members/c-1/redemptions", {"points": 7}, {"points": 8}),
    ],
)
async def test_a_key_books_once_and_answers_the_same(
    database_url: str, path: str, body: dict[str, Any], other: dict[str, Any]
) -> None:
    async with running(build, database_url) as service:
        await service.feed(event(OrderCompleted, total="100"))
        first = await post(service, path, body, "k")
        again = await post(service, path, body, "k")
        assert (first.status_code, again.status_code) == (201, 201)
        assert again.json() == first.json()
        assert "Idempotency-Hit" not in first.headers
        assert again.headers["Idempotency-Hit"] == "true"
        assert (await post(service, path, other, "k")).status_code == 422
        assert (await post(service, path.replace("c-1", "c-2"), body, "k")).status_code == 422
        assert (await get(service, "/audit"))["entries"] == 2


async def test_an_award_is_answered_again_after_its_points_have_ended(database_url: str) -> None:
    async with running(build, database_url) as service:
        soon = (service.clock.now() + timedelta(minutes=1)).isoformat()
        gift = {"points": 7, "reason": "x", "expires_at": soon}
        first = await post(service, "/members/c-1/awards", gift, "k")
        service.clock.advance(timedelta(minutes=2))
        again = await post(service, "/members/c-1/awards", gift, "k")
        assert (again.status_code, again.json()) == (201, first.json())
        assert (await post(service, "/members/c-1/awards", gift, "other")).status_code == 422
        other = await post(service, "/members/c-1/awards", gift | {"points": 8}, "k")
        assert (other.status_code, other.json()["detail"]) == (
            422,
            "this Idempotency-Key was used for another request",
        )


async def test_a_refused_key_may_be_tried_again(database_url: str) -> None:
    async with running(build, database_url) as service:
        body = {"points": 10}
        assert (await post(service, "/members/c-1/redemptions", body, "k")).status_code == 409
        await service.feed(event(OrderCompleted, total="10"))
        assert (await post(service, "/members/c-1/redemptions", body, "k")).status_code == 201


async def test_an_award_by_hand_counts_and_is_told(database_url: str) -> None:
    async with running(build, database_url) as service:
        reply = await post(service, "/members/new/awards", {"points": 1500, "reason": "welcome"})
        assert (reply.status_code, reply.json()["balance"]) == (201, 1500)
        await service.settle()
        (told,) = service.published(PointsAwarded)
        assert (told.subject, told.data.reason, told.data.points) == ("new", "welcome", 1500)
        assert (await get(service, "/members/new"))["tier"] == "silver"


async def test_an_award_answers_with_the_balance_of_the_person(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(
            event(OrderCompleted, customer="c-1", total="60"),
            event(CustomerMerged, customer="c-2", survivor_id="c-1"),
        )
        reply = await post(service, "/members/c-2/awards", {"points": 5, "reason": "x"})
        assert (reply.json()["customer_id"], reply.json()["balance"]) == ("c-2", 65)


async def test_an_award_that_waited_for_an_erasure_books_on_a_new_account(
    database_url: str,
) -> None:
    async with running(build, database_url) as service:
        await service.feed(event(OrderCompleted, total="60"))
        async with service.context.transaction() as tx:
            await loading.lock_accounts(tx.driver, [CustomerId("c-1")])
            gift = {"points": 5, "reason": "x"}
            waiting = asyncio.create_task(post(service, "/members/c-1/awards", gift))
            async with asyncio.timeout(10), service.context.read() as session:
                while not await session.driver.fetchval(_WAITING):
                    await asyncio.sleep(0.01)
            await erase_customer(tx, CustomerId("c-1"))
        assert (await waiting).json()["balance"] == 5
        assert (await get(service, "/members/c-1"))["balance"]["active"] == 5
        await check(service)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/members/c-1/awards", {"points": 0, "reason": "x"}),
        ("/members/c-1/awards", {"points": 1.5, "reason": "x"}),
        ("/members/c-1/awards", {"points": 1, "reason": "x", "balance": 9}),
        ("/members/c-1/awards", {"points": 1, "reason": "a\x00b"}),
        ("/members/c-1/awards", {"points": 1, "reason": "x", "expires_at": "2020-01-01T00:00:00Z"}),
        ("/members/c-1/awards", {"points": 1, "reason": "x", "expires_at": f"{LAST}-14:00"}),
        ("/members/c-1/awards", {"points": 1, "reason": "x", "expires_at": LAST}),
        ("/members/c%001/awards", {"points": 1, "reason": "x"}),
        ("/members/c-1/redemptions", {"points": -1}),
        ("/members/c-1/redemptions", {"points": 10**12}),
    ],
)
async def test_what_makes_no_sense_is_refused_with_a_reason(
    database_url: str, path: str, body: dict[str, Any]
) -> None:
    async with running(build, database_url) as service:
        reply = await post(service, path, body)
        assert reply.status_code == 422, reply.text
        assert reply.headers["content-type"] == "application/problem+json"


async def test_unknown_members_and_redemptions_are_not_found(database_url: str) -> None:
    async with running(build, database_url) as service:
        read = service.key("read")
        assert (await service.client.get("/v1/members/nobody", headers=read)).status_code == 404
        assert (await service.client.get("/v1/redemptions/none", headers=read)).status_code == 404
        assert (await post(service, "/redemptions/none/capture")).status_code == 404


async def test_a_key_that_may_only_read_gives_and_takes_nothing(database_url: str) -> None:
    async with running(build, database_url) as service:
        for path in ("members/c-1/awards", "members/c-1/redemptions", "redemptions/r/capture"):
            reply = await service.client.post(
                f"/v1/{path}", json={"points": 1, "reason": "x"}, headers=service.key("read")
            )
            assert reply.status_code == 403
        assert (await service.client.get("/v1/members/c-1")).status_code == 401


async def test_a_statement_runs_from_opening_to_closing_balance(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(
            event(OrderCompleted, order_id="a", total="100"),
            event(OrderCompleted, order_id="b", total="50", customer="c-2"),
            event(CustomerMerged, customer="c-2", survivor_id="c-1"),
            event(OrderRefunded, order_id="a", amount="25"),
        )
        await post(service, "/members/c-1/redemptions", {"points": 10, "immediate": True})
        whole = await get(service, "/members/c-1/statement")
        assert sorted(line["points"] for line in whole["items"]) == [-25, -10, 50, 100]
        assert (whole["opening_balance"], whole["closing_balance"]) == (0, 115)
        assert whole["next_cursor"] is None
        pages = [await get(service, "/members/c-1/statement?limit=1")]
        while (cursor := pages[-1]["next_cursor"]) is not None:
            path = f"/members/c-1/statement?limit=1&cursor={cursor}"
            pages.append(await get(service, path))
        assert [line for page in pages for line in page["items"]] == whole["items"]
        for before, after in pairwise(pages):
            assert before["closing_balance"] == after["opening_balance"]


@pytest.mark.parametrize("cursor", ["x", "WzEsMiwzXQ", "WyIyMDI2LTAxLTAxIiwgImEiLCAxXQ"])
async def test_a_foreign_cursor_is_refused(database_url: str, cursor: str) -> None:
    async with running(build, database_url) as service:
        reply = await service.client.get(
            f"/v1/members/c-1/statement?cursor={cursor}", headers=service.key("read")
        )
        assert reply.status_code == 422


async def test_the_liability_rolls_forward_from_what_was_issued(database_url: str) -> None:
    async with running(build, database_url) as service:
        await service.feed(
            event(OrderCompleted, order_id="a", total="100"),
            event(OrderRefunded, order_id="a", amount="25"),
        )
        await post(service, "/members/c-1/redemptions", {"points": 10, "immediate": True})
        await post(service, "/members/c-1/redemptions", {"points": 5})
        owed = await get(service, "/liability")
        assert (owed["issued"], owed["reversed"], owed["redeemed"]) == (100, 25, 10)
        assert (owed["active"], owed["reserved"], owed["outstanding"]) == (60, 5, 65)
        assert owed["by_expiry_month"] == [{"month": "2028-03", "points": 60}]


async def test_the_program_can_be_read(database_url: str) -> None:
    async with running(build, database_url) as service:
        tiers = (await get(service, "/tiers"))["items"]
        assert [(one["name"], one["points"]) for one in tiers] == [
            ("bronze", 0),
            ("silver", 1000),
            ("gold", 5000),
        ]
        (rule,) = (await get(service, "/earning-rules"))["items"]
        assert (rule["name"], rule["points_per_unit"]) == ("order_total", 1)


async def test_a_key_that_went_with_an_erased_person_may_be_used_for_another(
    database_url: str,
) -> None:
    async with running(build, database_url) as service:
        headers = service.key("operate") | {"Idempotency-Key": "k-1"}
        gift = {"points": 50, "reason": "sorry"}
        for customer in ("c-1", "c-2"):
            reply = await service.client.post(
                f"/v1/members/{customer}/awards", json=gift, headers=headers
            )
            assert reply.status_code == 201, reply.text
            await service.feed(event(CustomerErased, customer=customer))
