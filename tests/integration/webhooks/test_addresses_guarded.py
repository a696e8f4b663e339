"""No webhook reaches an address it must not, at registration or at the moment of the call."""

from collections.abc import Sequence
from datetime import timedelta
from ipaddress import ip_network

import pytest

from services.webhooks.domain.target import Guard
from services.webhooks.sender import Limits, open_sender
from shared.events.commerce import OrderCompleted
from shared.testing.builders import event
from shared.testing.receiver import Behaviour, Receiver, receiving
from tests.integration.webhooks.conftest import Open, deliveries_of, log_of, register

NOWHERE = [
    "https://127.0.0.1/",
    "https://10.0.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1/",
    "https://0.0.0.0/",
    "https://224.0.0.1/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:169.254.169.254]/",
    "https://[::ffff:7f00:1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:a9fe:a9fe::1]/",
    "https://[fec0::1]/",
    "https://[fe80::1]/",
    "https://[ff02::1]/",
    "https://0x7f000001/",
    "https://2130706433/",
    "https://127.1/",
    "https://0177.0.0.1/",
    "https://\uff11\uff12\uff17.0.0.1/",
    "https://127.0.0.1./",
    "https://localhost/",
    "https://localhost./",
]
FORBIDDEN_FORMS = [
    "http://93.184.216.34/",
    "https://93.184.216.34:22/",
    "https://93.184.216.34:6379/",
    "http://93.184.216.34:9092/",
    "https://user:pass@93.184.216.34/",
    "file:///etc/passwd",
    "gopher://93.184.216.34/",
]


class Names:
    """A resolver that gives each name its answers one after the other, the last one for ever."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self._answers = {name.replace("_", "."): list(given) for name, given in answers.items()}
        self.asked = 0

    async def __call__(self, host: str, _port: int, /) -> Sequence[str]:
        self.asked += 1
        given = self._answers.get(host.rstrip("."))
        if given is None:
            raise OSError("no such name")
        return given.pop(0) if len(given) > 1 else given[0]


PUBLIC = ("93.184.216.34",)


@pytest.mark.parametrize("url", NOWHERE + FORBIDDEN_FORMS)
async def test_the_call_itself_is_refused(url: str) -> None:
    names = Names(localhost=[["127.0.0.1"]])
    async with open_sender(Guard(), Limits(), names) as sender:
        outcome = await sender.post(url, {}, b"{}")
    assert outcome.failure == "blocked_address"
    assert outcome.status is None


async def test_registration_refuses_what_the_call_would(open_service: Open) -> None:
    names = Names(localhost=[["127.0.0.1"]], mixed_example=[[*PUBLIC, "10.0.0.1"]])
    async with open_service(lookup=names, allowed_networks="") as service:
        for url in (
            *NOWHERE,
            *FORBIDDEN_FORMS,
            "https://mixed.example/",
            "https://unknown.example/",
        ):
            reply = await service.client.post(
                "/v1/endpoints",
                json={"url": url, "event_types": ["*"]},
                headers=service.key("admin"),
            )
            assert reply.status_code == 422, url
            assert reply.json()["errors"][0]["path"] == "url"


async def test_a_change_of_url_is_judged_like_a_new_one(
    open_service: Open, receiver: Receiver
) -> None:
    async with open_service() as service:
        endpoint = await register(service, receiver)
        reply = await service.client.patch(
            f"/v1/endpoints/{endpoint['id']}",
            json={"url": "https://169.254.169.254/"},
            headers=service.key("admin"),
        )
        assert reply.status_code == 422


async def test_a_name_that_turns_private_after_registration_is_not_called(
    open_service: Open,
) -> None:
    names = Names(shop_example=[PUBLIC, ["127.0.0.1"]])
    async with receiving() as receiver, open_service(lookup=names, allowed_networks="") as service:
        url = f"https://shop.example:{8443}/hook"
        reply = await service.client.post(
            "/v1/endpoints",
            json={"url": url, "event_types": ["*"]},
            headers=service.key("admin"),
        )
        assert reply.status_code == 201
        await service.feed(event(OrderCompleted))
        await service.run_job("deliver_due")
        [delivery] = await deliveries_of(service, reply.json())
        [attempt] = await log_of(service, delivery)
        assert attempt["failure"] == "blocked_address"
        assert not receiver.calls


async def test_the_address_that_was_checked_is_the_one_that_is_called(receiver: Receiver) -> None:
    names = Names(shop_example=[["127.0.0.1"], ["10.0.0.1"]])
    guard = Guard((ip_network("127.0.0.0/8"),))
    async with open_sender(guard, Limits(), names) as sender:
        url = f"http://shop.example:{receiver.port}/hook"
        first = await sender.post(url, {"webhook-id": "m"}, b"{}")
        assert first.status == 200
        assert names.asked == 1
        assert receiver.calls[0].headers["host"] == f"shop.example:{receiver.port}"


async def test_a_redirect_leads_nowhere(receiver: Receiver) -> None:
    async with receiving() as inner:
        receiver.always(Behaviour(status=307, headers={"Location": inner.url}))
        async with open_sender(Guard((ip_network("127.0.0.0/8"),)), Limits()) as sender:
            outcome = await sender.post(receiver.url, {}, b"{}")
        assert (outcome.status, outcome.failure) == (307, "redirect")
        assert not inner.calls


async def test_a_proxy_in_the_environment_is_not_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        async with open_sender(Guard((ip_network("127.0.0.0/8"),)), Limits()) as sender:
            assert (await sender.post(receiver.url, {}, b"{}")).status == 200
        assert not proxy.calls


async def test_an_unknown_name_and_a_plain_server_under_https_are_failures_of_their_kind(
    receiver: Receiver,
) -> None:
    async with open_sender(Guard((ip_network("127.0.0.0/8"),)), Limits(), Names()) as sender:
        assert (await sender.post("https://unknown.example/", {}, b"{}")).failure == "dns_error"
        plain = await sender.post(f"https://127.0.0.1:{receiver.port}/", {}, b"{}")
        assert plain.failure == "tls"


async def test_an_idle_connection_that_the_receiver_closed_costs_no_attempt(
    receiver: Receiver,
) -> None:
    async with open_sender(Guard((ip_network("127.0.0.0/8"),)), Limits()) as sender:
        assert (await sender.post(receiver.url, {}, b"{}")).status == 200
        receiver.then(Behaviour(reset=True))
        assert (await sender.post(receiver.url, {}, b"{}")).status == 200
        receiver.then(Behaviour(reset=True), Behaviour(reset=True))
        assert (await sender.post(receiver.url, {}, b"{}")).failure == "reset"


async def test_blocked_calls_are_tried_again_like_any_failure(open_service: Open) -> None:
    names = Names(shop_example=[PUBLIC, ["10.0.0.1"], ["127.0.0.1"]])
    async with receiving() as receiver, open_service(lookup=names) as service:
        reply = await service.client.post(
            "/v1/endpoints",
            json={"url": "https://shop.example/hook", "event_types": ["*"]},
            headers=service.key("admin"),
        )
        assert reply.status_code == 201
        await service.feed(event(OrderCompleted))
        await service.run_job("deliver_due")
        service.clock.advance(timedelta(seconds=10))
        await service.run_job("deliver_due")
        [delivery] = await deliveries_of(service, reply.json())
        kinds = [one["failure"] for one in await log_of(service, delivery)]
        assert kinds[0] == "blocked_address"
        assert kinds[1] in {"refused", "tls"}
        assert not receiver.calls
