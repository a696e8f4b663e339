"""Sending by SMTP: what is whose fault, and what a slow or dying server costs."""

from pathlib import Path
from typing import Any

import pytest

from services.campaigns.domain.sending import Delivered, Mail, Rejected
from services.campaigns.mailer import SmtpProvider, SmtpServer
from shared.events.campaigns import InterventionFailed
from shared.testing.builders import NOON
from tests.integration.campaigns.conftest import (
    Start,
    crossed,
    decisions,
    end_leases,
    joined,
    ready_to_send,
    states,
)
from tests.integration.campaigns.mail_server import (
    Receiver,
    mail_server,
    make_certificate,
    scripted_server,
)

MAIL = Mail(
    message_id="m-1@shop.test",
    sender="Shop <shop@shop.test>",
    recipient="ann@example.com",
    subject="Hello",
    text="text",
    html="<p>html</p>",
    unsubscribe_url="https://shop.test/u/token",
    sent_at=NOON,
)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "mail.pem"
    make_certificate(path)
    return path


def smtp(port: int, certificate: Path, **given: Any) -> dict[str, Any]:
    return {
        "mail_provider": "smtp",
        "smtp_port": port,
        "smtp_ca_file": certificate,
        "smtp_username": "shop",
        "smtp_password": "right",
    } | given


async def test_a_message_goes_out_by_smtp_with_tls_and_a_login(
    start: Start, certificate: Path
) -> None:
    receiver = Receiver()
    async with (
        mail_server(receiver, certificate) as port,
        start(settings=smtp(port, certificate)) as campaigns,
    ):
        await ready_to_send(campaigns)
        await campaigns.run_job("send_due")
        assert await states(campaigns) == ["sent"]
    (message,) = receiver.messages
    assert message["To"] == "c-1@example.com"
    assert message.is_multipart()
    assert str(message["List-Unsubscribe"]).startswith("<http://127.0.0.1:8003/u/")


async def test_a_recipient_refused_for_good_fails_and_one_refused_for_now_is_tried_again(
    start: Start, certificate: Path
) -> None:
    receiver = Receiver()
    async with (
        mail_server(receiver, certificate) as port,
        start(settings=smtp(port, certificate)) as campaigns,
    ):
        await campaigns.feed(joined("c-1", email="550-gone@example.com"))
        await campaigns.feed(joined("c-2", email="451-greylisted@example.com"))
        await campaigns.feed(crossed("c-1"), crossed("c-2"))
        await campaigns.run_job("send_due")
        assert await states(campaigns) == ["failed", "sending"]
        (failed,) = campaigns.published(InterventionFailed)
        assert failed.data.reason == "the mail server answered 550"
        for _ in range(5):
            await end_leases(campaigns)
            await campaigns.run_job("send_due")
        assert await states(campaigns) == ["failed", "failed"]
        assert [one[0] for one in await decisions(campaigns, "c-2")].count("retried") == 5


async def test_when_the_server_comes_back_the_message_goes_out(
    start: Start, certificate: Path
) -> None:
    receiver = Receiver()
    receiver.away = True
    async with (
        mail_server(receiver, certificate) as port,
        start(settings=smtp(port, certificate)) as campaigns,
    ):
        await ready_to_send(campaigns)
        await campaigns.run_job("send_due")
        receiver.away = False
        await campaigns.run_job("send_due")
        assert receiver.messages == [], "not before its time"
        await end_leases(campaigns)
        await campaigns.run_job("send_due")
        assert await states(campaigns) == ["sent"]
    assert len(receiver.messages) == 1


async def test_a_wrong_password_or_an_absent_server_is_not_the_customer_s_fault(
    start: Start, certificate: Path
) -> None:
    async with (
        mail_server(Receiver(), certificate) as port,
        start(settings=smtp(port, certificate, smtp_password="wrong")) as campaigns,
    ):
        await ready_to_send(campaigns)
        await campaigns.run_job("send_due")
        assert await states(campaigns) == ["sending"]
    async with start(settings=smtp(port, certificate)) as campaigns:
        await end_leases(campaigns)
        await campaigns.run_job("send_due")
        assert await states(campaigns) == ["sending"]
        outcomes = await decisions(campaigns)
        assert [one[0] for one in outcomes].count("retried") == 2


async def outcome_of(**answers: str) -> Any:
    async with scripted_server(**answers) as port:
        server = SmtpServer("127.0.0.1", port, "none", None, None, timeout_seconds=2.0)
        return await SmtpProvider(server).send(MAIL, 5.0)


@pytest.mark.parametrize(
    "answers",
    [
        {"greeting": "554 no service here"},
        {"greeting": "421 later"},
        {"ehlo": "550 who are you", "helo": "550 who are you"},
        {"mail": "550 this sender may not"},
        {"mail": "553 no such sender"},
        {"rcpt": "530 log in first"},
        {"rcpt": "451 greylisted"},
        {"data": "451 disk full"},
        {"content": "452 disk full"},
    ],
    ids=str,
)
async def test_what_a_server_says_of_us_or_of_itself_is_no_reason_to_give_a_message_up(
    answers: dict[str, str],
) -> None:
    outcome = await outcome_of(**answers)
    assert isinstance(outcome, Rejected)
    assert not outcome.permanent


@pytest.mark.parametrize(
    "answers",
    [{"rcpt": "550 unknown"}, {"rcpt": "553 no such name"}, {"content": "554 not this"}],
    ids=str,
)
async def test_what_it_says_of_the_recipient_or_the_content_is(answers: dict[str, str]) -> None:
    code = next(iter(answers.values()))[:3]
    assert await outcome_of(**answers) == Rejected(f"the mail server answered {code}", True)


@pytest.mark.parametrize("parting", ["", "500 what"])
async def test_a_message_that_was_taken_is_taken_however_the_parting_goes(parting: str) -> None:
    assert await outcome_of(quit=parting) == Delivered()


async def test_a_silent_server_is_left_when_the_time_for_the_call_is_over() -> None:
    async with scripted_server(mail="") as port:
        server = SmtpServer("127.0.0.1", port, "none", None, None, timeout_seconds=60.0)
        outcome = await SmtpProvider(server).send(MAIL, 0.2)
    assert outcome == Rejected("the mail server is away: TimeoutError", permanent=False)
