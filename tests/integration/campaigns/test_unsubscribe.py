"""The link in a message: looking changes nothing, the button does, twice does no harm."""

from collections.abc import Callable
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from fastapi import FastAPI

from services.campaigns.main import build
from shared.events.engagement import CustomerErased, MessageComplained, MessageUnsubscribed
from shared.testing.builders import event
from shared.testing.harness import Running
from tests.integration.campaigns.conftest import crossed, joined

Outbox = Callable[[], list[EmailMessage]]
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
MULTIPART = (
    "--b0undary\r\n"
    'Content-Disposition: form-data; name="List-Unsubscribe"\r\n\r\n'
    "One-Click\r\n--b0undary--\r\n"
)


async def sent_link(service: Running, outbox: Outbox) -> str:
    await service.feed(joined())
    await service.feed(crossed())
    await service.run_job("send_due")
    (message,) = outbox()
    return str(message["List-Unsubscribe"]).strip("<>").removeprefix("http://127.0.0.1:8003")


async def allowed(service: Running) -> bool:
    reply = await service.client.get("/v1/customers/c-1/consent", headers=service.key("read"))
    return any(
        one["granted"]
        for one in reply.json()["permissions"]
        if (one["channel"], one["purpose"]) == ("email", "retention")
    )


async def everything(service: Running) -> Any:
    async with service.context.read() as session:
        return await session.driver.fetch("SELECT * FROM consents ORDER BY 1, 2, 3, 4")


async def test_getting_the_link_never_writes(campaigns: Running, outbox: Outbox) -> None:
    link = await sent_link(campaigns, outbox)
    before = await everything(campaigns)
    for _ in range(3):
        page = await campaigns.client.get(link)
        assert page.status_code == 200
        assert '<form method="post">' in page.text
    assert (await campaigns.client.head(link)).status_code in {200, 405}
    assert await everything(campaigns) == before
    assert await allowed(campaigns)


@pytest.mark.parametrize(
    "request_of",
    [
        {"data": ONE_CLICK},
        {
            "content": MULTIPART,
            "headers": {"Content-Type": "multipart/form-data; boundary=b0undary"},
        },
    ],
    ids=["urlencoded", "multipart"],
)
async def test_one_click_withdraws_in_both_encodings_and_twice_harmlessly(
    campaigns: Running, outbox: Outbox, request_of: dict[str, Any]
) -> None:
    link = await sent_link(campaigns, outbox)
    for _ in range(2):
        reply = await campaigns.client.post(link, **request_of)
        assert reply.status_code == 200
        assert not await allowed(campaigns)


async def test_a_mistake_can_be_undone_and_undoing_gives_no_consent_that_was_not_there(
    campaigns: Running, outbox: Outbox
) -> None:
    link = await sent_link(campaigns, outbox)
    await campaigns.client.post(link, data=ONE_CLICK)
    await campaigns.client.post(link, data={"List-Unsubscribe": "Undo"})
    assert await allowed(campaigns)
    await campaigns.feed(event(MessageUnsubscribed, message_id="other", channel="email"))
    await campaigns.client.post(link, data={"List-Unsubscribe": "Undo"})
    assert not await allowed(campaigns)


async def test_undoing_restores_what_was_there_before_the_click(
    campaigns: Running, outbox: Outbox
) -> None:
    """A complaint that stood before the click stands after its undoing."""
    link = await sent_link(campaigns, outbox)
    before = await everything(campaigns)
    await campaigns.client.post(link, data=ONE_CLICK)
    await campaigns.client.post(link, data={"List-Unsubscribe": "Undo"})
    assert await everything(campaigns) == before
    await campaigns.feed(event(MessageComplained, message_id="m", channel="email"))
    campaigns.clock.advance(timedelta(days=1))
    await campaigns.client.post(link, data=ONE_CLICK)
    campaigns.clock.advance(timedelta(days=1))
    await campaigns.client.post(link, data={"List-Unsubscribe": "Undo"})
    assert not await allowed(campaigns)


@pytest.mark.parametrize("body", [b"", b"x=y", b"List-Unsubscribe=No", b"\xff\xfe=%zz"])
async def test_a_post_that_does_not_say_so_changes_nothing(
    campaigns: Running, outbox: Outbox, body: bytes
) -> None:
    link = await sent_link(campaigns, outbox)
    assert (await campaigns.client.post(link, content=body)).status_code == 400
    assert await allowed(campaigns)


async def test_a_made_up_token_is_not_found(campaigns: Running) -> None:
    for token in ("x", "a" * 43):
        assert (await campaigns.client.get(f"/u/{token}")).status_code == 404
        assert (await campaigns.client.post(f"/u/{token}", data=ONE_CLICK)).status_code == 404


async def test_the_link_of_an_erased_person_still_answers_and_writes_nothing(
    campaigns: Running, outbox: Outbox
) -> None:
    link = await sent_link(campaigns, outbox)
    await campaigns.feed(event(CustomerErased))
    assert (await campaigns.client.post(link, data=ONE_CLICK)).status_code == 200
    assert await everything(campaigns) == []


async def test_the_link_names_nobody(campaigns: Running, outbox: Outbox) -> None:
    link = await sent_link(campaigns, outbox)
    assert "c-1" not in link
    assert "example.com" not in link


async def test_unsubscribing_by_the_shop_s_own_provider_is_about_the_message_s_purpose(
    campaigns: Running, outbox: Outbox
) -> None:
    await sent_link(campaigns, outbox)
    (message,) = outbox()
    await campaigns.feed(
        event(MessageUnsubscribed, message_id=message["Message-ID"], channel="email")
    )
    (said,) = [one for one in await everything(campaigns) if one["origin"] == "person"]
    assert (said["purpose"], said["granted"]) == ("retention", False)


async def test_only_the_link_s_routes_are_public() -> None:
    app = FastAPI()
    app.include_router(build().router)
    public = {
        (path, method)
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
        if operation.get("x-public")
    }
    assert public == {("/u/{token}", "get"), ("/u/{token}", "post")}
