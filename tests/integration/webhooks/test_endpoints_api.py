"""Endpoints as operators handle them."""

from datetime import timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook

from shared.clock import SystemClock
from shared.events.commerce import OrderCompleted
from shared.events.webhooks import EndpointDisabled
from shared.testing.builders import event
from shared.testing.receiver import Behaviour, Receiver, problem_of, receiving
from tests.integration.webhooks.conftest import Open, deliveries_of, get, log_of, post, register


async def test_the_secret_is_shown_once_and_stored_sealed(
    open_service: Open, receiver: Receiver
) -> None:
    async with open_service() as service:
        endpoint = await register(service, receiver, "points.*", description="the shop")
        secret = endpoint["secret"]
        seen = await get(service, f"/v1/endpoints/{endpoint['id']}")
        assert seen == {name: value for name, value in endpoint.items() if name != "secret"}
        listed = await get(service, "/v1/endpoints")
        assert listed == {"items": [seen], "next_cursor": None}
        async with service.context.read() as session:
            sealed = await session.driver.fetchval("SELECT sealed FROM endpoint_secrets")
        assert secret.encode() not in sealed
        assert secret.removeprefix("whsec_").encode() not in sealed


async def test_what_arrives_passes_the_package_that_subscribers_use(open_service: Open) -> None:
    async with open_service(clock=SystemClock()) as service, receiving() as receiver:
        endpoint = await register(service, receiver)
        await service.feed(event(OrderCompleted))
        await service.run_job("deliver_due")
        [call] = receiver.verified
        assert Webhook(endpoint["secret"]).verify(call.body, dict(call.headers)) == call.json()
        assert call.headers["content-type"] == "application/json"


async def test_after_a_rotation_both_secrets_verify_until_the_overlap_is_over(
    open_service: Open, receiver: Receiver
) -> None:
    async with open_service() as service:
        endpoint = await register(service, receiver)
        path = f"/v1/endpoints/{endpoint['id']}/secret/rotate"
        new = (await post(service, path))["secret"]

        async def believed_by() -> list[bool]:
            await post(service, f"/v1/endpoints/{endpoint['id']}/test", "operate")
            await service.run_job("deliver_due")
            call = receiver.calls[-1]
            now = service.clock.now().timestamp()
            return [
                problem_of(call.headers, call.body, [secret], now) is None
                for secret in (endpoint["secret"], new)
            ]

        assert await believed_by() == [True, True]
        tokens = receiver.calls[-1].headers["webhook-signature"].split(" ")
        assert len(tokens) == 2
        receiver.trust(new)
        service.clock.advance(timedelta(hours=24))
        assert await believed_by() == [False, True]
        newest = (await post(service, path, overlap_hours=0))["secret"]
        assert newest != new
        assert await believed_by() == [False, False]


async def test_the_list_goes_on_with_its_cursor(open_service: Open, receiver: Receiver) -> None:
    async with open_service() as service:
        made = [(await register(service, receiver))["id"] for _ in range(5)]
        seen: list[str] = []
        cursor = ""
        while True:
            page = await get(service, f"/v1/endpoints?limit=2{cursor}")
            seen += [one["id"] for one in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert sorted(seen) == sorted(made)
        reply = await service.client.get(
            "/v1/endpoints?cursor=nonsense", headers=service.key("read")
        )
        assert reply.status_code == 422


async def test_deliveries_are_listed_by_status_and_page(
    open_service: Open, receiver: Receiver
) -> None:
    async with open_service() as service:
        endpoint = await register(service, receiver)
        receiver.then(Behaviour(status=500))
        for number in range(5):
            await service.feed(event(OrderCompleted, customer=f"c-{number}"))
            await service.run_job("deliver_due")
            service.clock.advance(timedelta(seconds=1))
        assert len(await deliveries_of(service, endpoint, status="delivered")) == 4
        [pending] = await deliveries_of(service, endpoint, status="pending")
        assert pending["next_attempt_at"] is not None
        path = f"/v1/endpoints/{endpoint['id']}/deliveries?limit=3"
        first = await get(service, path)
        second = await get(service, f"{path}&cursor={first['next_cursor']}")
        assert second["next_cursor"] is None
        assert len({one["id"] for one in first["items"] + second["items"]}) == 5
        detail = await get(service, f"/v1/deliveries/{pending['id']}")
        assert detail["payload"]["type"] == "order.completed"


async def test_a_test_message_is_marked_and_says_what_is_asked(
    open_service: Open, receiver: Receiver
) -> None:
    async with open_service() as service:
        endpoint = await register(service, receiver, "points.awarded")
        path = f"/v1/endpoints/{endpoint['id']}/test"
        bare = await post(service, path, "operate")
        await post(service, path, "operate", event_type="order.completed")
        await service.run_job("deliver_due")
        told = {one["type"]: one for one in receiver.events()}
        assert told["endpoint.test"]["data"] == {"endpoint_id": endpoint["id"]}
        assert told["order.completed"]["data"]["order_id"]
        assert all(one["test"] is True for one in told.values())
        assert len(await log_of(service, bare)) == 1
        reply = await service.client.post(
            path, json={"event_type": "no.such"}, headers=service.key("operate")
        )
        assert reply.status_code == 422


async def test_a_changed_filter_and_url_hold_from_then_on(
    open_service: Open, receiver: Receiver
) -> None:
    async with open_service() as service, receiving() as other:
        endpoint = await register(service, receiver, "points.*")
        await service.feed(event(OrderCompleted, customer="c-1"))
        reply = await service.client.patch(
            f"/v1/endpoints/{endpoint['id']}",
            json={"event_types": ["order.completed"], "url": other.url, "description": "new"},
            headers=service.key("admin"),
        )
        assert reply.json()["description"] == "new"
        await service.feed(event(OrderCompleted, customer="c-2"))
        await service.run_job("deliver_due")
        assert [call.json()["customer_id"] for call in other.calls] == ["c-2"]
        assert not receiver.calls


@pytest.mark.parametrize(("waiting", "late"), [("resume", ["c-2", "c-3"]), ("skip", ["c-3"])])
async def test_what_waited_while_disabled_is_resumed_behind_live_traffic_or_skipped(
    open_service: Open, receiver: Receiver, waiting: str, late: list[str]
) -> None:
    async with open_service(calls_per_endpoint_max=1) as service:
        endpoint = await register(service, receiver)
        path = f"/v1/endpoints/{endpoint['id']}"

        async def patch(**body: Any) -> Any:
            return (
                await service.client.patch(path, json=body, headers=service.key("admin"))
            ).json()

        await patch(enabled=False)
        await service.feed(event(OrderCompleted, customer="c-2"))
        await service.run_job("deliver_due")
        assert not receiver.calls
        seen = await patch(enabled=True, waiting=waiting)
        assert (seen["enabled"], seen["disabled_reason"]) == (True, None)
        await service.feed(event(OrderCompleted, customer="c-3"))
        await service.run_job("deliver_due")
        arrived = [call.json()["customer_id"] for call in receiver.calls]
        assert sorted(arrived) == late
        assert arrived[0] == "c-3"


@pytest.mark.parametrize(("waiting", "late"), [("resume", 6), ("skip", 1)])
async def test_a_long_backlog_is_seen_to_in_pieces_and_nothing_leaves_before_the_last(
    open_service: Open, receiver: Receiver, waiting: str, late: int
) -> None:
    async with open_service(calls_per_endpoint_max=1, backlog_rows_max=2) as service:
        endpoint = await register(service, receiver)
        path, key = f"/v1/endpoints/{endpoint['id']}", service.key("admin")
        await service.client.patch(path, json={"enabled": False}, headers=key)
        await service.feed(*(event(OrderCompleted, customer=f"c-{one}") for one in range(5)))
        service.clock.advance(timedelta(seconds=1))
        body = {"enabled": True, "waiting": waiting}
        assert (await service.client.patch(path, json=body, headers=key)).json()["enabled"]
        service.clock.advance(timedelta(seconds=1))
        await service.feed(event(OrderCompleted, customer="live"))
        await service.run_job("deliver_due")
        assert not receiver.calls
        await service.run_job("release_backlogs")
        await service.run_job("deliver_due")
        assert receiver.calls[0].json()["customer_id"] == "live"
        assert len(receiver.calls) == late
        skipped = await deliveries_of(service, endpoint, status="cancelled")
        assert len(skipped) == 6 - late


async def test_an_endpoint_disabled_for_long_gets_nothing_queued(
    open_service: Open, receiver: Receiver
) -> None:
    async with open_service(disabled_queue_hours=1) as service:
        endpoint = await register(service, receiver)
        receiver.then(Behaviour(status=410))
        await service.feed(event(OrderCompleted, customer="c-1"))
        await service.run_job("deliver_due")
        assert service.published(EndpointDisabled)
        service.clock.advance(timedelta(hours=2))
        await service.feed(event(OrderCompleted, customer="c-2"))
        assert len(await deliveries_of(service, endpoint)) == 1


async def test_a_deleted_endpoint_is_gone_and_its_deliveries_end(
    open_service: Open, receiver: Receiver
) -> None:
    async with open_service() as service:
        endpoint = await register(service, receiver)
        await service.feed(event(OrderCompleted))
        path = f"/v1/endpoints/{endpoint['id']}"
        reply = await service.client.delete(path, headers=service.key("admin"))
        assert reply.status_code == 204
        await service.run_job("deliver_due")
        await service.run_job("forget_old")
        assert not receiver.calls
        for method in ("GET", "DELETE"):
            reply = await service.client.request(method, path, headers=service.key("admin"))
            assert reply.status_code == 404
        async with service.context.read() as session:
            assert await session.driver.fetchval("SELECT status FROM deliveries") == "cancelled"
            assert await session.driver.fetchval("SELECT count(*) FROM endpoint_secrets") == 0
        service.clock.advance(timedelta(days=31))
        await service.run_job("forget_old")
        async with service.context.read() as session:
            assert await session.driver.fetchval("SELECT count(*) FROM endpoints") == 0


async def test_no_more_endpoints_than_the_limit(open_service: Open, receiver: Receiver) -> None:
    async with open_service(endpoints_max=1) as service:
        await register(service, receiver)
        body = {"url": receiver.url, "event_types": ["*"]}
        reply = await service.client.post("/v1/endpoints", json=body, headers=service.key("admin"))
        assert reply.status_code == 409


@pytest.mark.parametrize(
    "body",
    [
        {"event_types": ["*"]},
        {"url": "{url}"},
        {"url": "{url}", "event_types": []},
        {"url": "{url}", "event_types": ["point.*"]},
        {"url": "{url}", "event_types": ["*"], "rate_per_second": 0},
        {"url": "{url}", "event_types": ["*"], "secret": "mine"},
        {"url": "{url}", "event_types": ["*"], "description": "a\x00b"},
    ],
)
async def test_a_request_that_makes_no_sense_is_refused_with_its_paths(
    open_service: Open, receiver: Receiver, body: dict[str, Any]
) -> None:
    async with open_service() as service:
        if "url" in body:
            body = {**body, "url": receiver.url}
        reply = await service.client.post("/v1/endpoints", json=body, headers=service.key("admin"))
        assert reply.status_code == 422
        assert reply.json()["errors"]


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/endpoints", "ingest"),
        ("GET", "/v1/event-types", "ingest"),
        ("POST", "/v1/endpoints", "operate"),
        ("PATCH", "/v1/endpoints/ep_1", "operate"),
        ("DELETE", "/v1/endpoints/ep_1", "operate"),
        ("POST", "/v1/endpoints/ep_1/secret/rotate", "operate"),
        ("POST", "/v1/endpoints/ep_1/test", "read"),
        ("POST", "/v1/deliveries/dlv_1/resend", "read"),
    ],
)
async def test_a_key_without_the_scope_is_turned_away(
    open_service: Open, method: str, path: str, scope: Any
) -> None:
    async with open_service() as service:
        body = {"url": "https://shop.example/", "event_types": ["*"]}
        for headers, status in (({}, 401), (service.key(scope), 403)):
            reply = await service.client.request(method, path, json=body, headers=headers)
            assert reply.status_code == status


async def test_what_does_not_exist_is_a_404(open_service: Open) -> None:
    async with open_service() as service:
        for method, path in (
            ("GET", "/v1/endpoints/ep_0"),
            ("GET", "/v1/endpoints/ep_0/deliveries"),
            ("PATCH", "/v1/endpoints/ep_0"),
            ("POST", "/v1/endpoints/ep_0/secret/rotate"),
            ("POST", "/v1/endpoints/ep_0/test"),
            ("GET", "/v1/deliveries/dlv_0"),
            ("POST", "/v1/deliveries/dlv_0/resend"),
        ):
            reply = await service.client.request(
                method, path, json={}, headers=service.key("admin")
            )
            assert reply.status_code == 404, path


async def test_the_catalogue_comes_in_pages_of_the_size_that_was_asked_for(
    open_service: Open,
) -> None:
    async with open_service() as service:
        whole = [one["type"] for one in (await get(service, "/v1/event-types"))["items"]]
        seen: list[str] = []
        more = ""
        while True:
            page = await get(service, f"/v1/event-types?limit=20{more}")
            assert len(page["items"]) <= 20
            seen += [one["type"] for one in page["items"]]
            if page["next_cursor"] is None:
                break
            more = f"&cursor={page['next_cursor']}"
        assert seen == whole == sorted(whole)


async def test_the_catalogue_lists_types_with_schemas_and_examples(open_service: Open) -> None:
    async with open_service() as service:
        types = {one["type"]: one for one in (await get(service, "/v1/event-types"))["items"]}
        points = types["points.awarded"]
        assert points["topic"] == "loyalty.points"
        assert points["data_schema"]["required"] == ["entry_id", "points", "balance", "reason"]
        assert points["example"]["points"] > 0
        assert "key.changed" not in types
