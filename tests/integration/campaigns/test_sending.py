"""Sending once: crashes around the call, retries, races with a withdrawal, a real mail server."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage, Message
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.events.campaigns import InterventionFailed, InterventionSent, InterventionSuppressed
from shared.events.engagement import MessageComplained, MessageUnsubscribed
from shared.runtime.failpoints import FailPoint, FailPoints, Injected
from shared.testing.builders import event
from shared.testing.harness import Running
from shared.testing.memory_log import MemoryLog
from tests.integration.campaigns.conftest import Start, crossed, decisions, joined

Outbox = Callable[[], list[EmailMessage]]


async def ready_to_send(service: Running, customers: int = 1) -> None:
    names = [f"c-{number}" for number in range(1, customers + 1)]
    await service.feed(*(joined(name) for name in names))
    await service.feed(*(crossed(name) for name in names))


async def end_leases(service: Running) -> None:
    """As if the time of every claim and retry had come."""
    async with service.context.transaction() as tx:
        await tx.driver.execute(
            "UPDATE interventions SET leased_until = clock_timestamp() WHERE state = 'sending'"
        )


async def states(service: Running) -> list[str]:
    async with service.context.read() as session:
        rows = await session.driver.fetch("SELECT state FROM interventions ORDER BY customer_id")
    return [row["state"] for row in rows]


@pytest.mark.parametrize("gap", ["effect.before_call", "effect.after_call"])
async def test_a_crash_around_the_call_neither_loses_nor_doubles_the_message(
    campaigns: Running, outbox: Outbox, gap: Any
) -> None:
    await ready_to_send(campaigns)
    campaigns.failpoints.arm(gap, "error")
    with pytest.raises(Injected):
        await campaigns.run_job("send_due")
    campaigns.failpoints.disarm(gap)
    assert await states(campaigns) == ["sending"]
    await campaigns.run_job("send_due")
    assert len(outbox()) == (1 if gap == "effect.after_call" else 0), "the claim still holds"
    await end_leases(campaigns)
    await campaigns.run_job("send_due")
    assert len(outbox()) == 1
    assert len(campaigns.published(InterventionSent)) == 1


async def test_a_crash_before_the_record_is_made_up_for_under_the_same_message_id(
    campaigns: Running, outbox: Outbox
) -> None:
    await ready_to_send(campaigns)
    campaigns.failpoints.arm("effect.after_call", "error")
    with pytest.raises(Injected):
        await campaigns.run_job("send_due")
    (first,) = outbox()
    campaigns.failpoints.disarm("effect.after_call")
    await end_leases(campaigns)
    await campaigns.run_job("send_due")
    (sent,) = campaigns.published(InterventionSent)
    assert first["Message-ID"] == f"<{sent.data.message_id}>"


class CutAfterTheCall(FailPoints):
    """The database goes away twice just when an outcome is to be recorded."""

    def __init__(self) -> None:
        super().__init__({})
        self.called = False
        self.cuts = 0

    async def reach(self, name: FailPoint) -> None:
        self.called = self.called or name == "effect.after_call"
        if self.called and name == "request.before_commit" and self.cuts < 2:
            self.cuts += 1
            raise Injected(name)


async def test_an_outcome_is_recorded_when_the_database_comes_back(
    start: Start, outbox: Outbox
) -> None:
    failpoints = CutAfterTheCall()
    async with start(failpoints=failpoints) as campaigns:
        await ready_to_send(campaigns)
        await campaigns.run_job("send_due")
        assert await states(campaigns) == ["sent"]
        assert len(campaigns.published(InterventionSent)) == 1
    assert failpoints.cuts == 2
    assert len(outbox()) == 1


async def test_two_replicas_share_the_work_and_nobody_gets_two(
    start: Start, outbox: Outbox
) -> None:
    log = MemoryLog()
    async with (
        start(log=log, settings={"send_batch_rows": 5}) as one,
        start(log=log, replica="1", consume=False, settings={"send_batch_rows": 5}) as other,
    ):
        await ready_to_send(one, customers=30)
        while "planned" in await states(one):
            await asyncio.gather(one.run_job("send_due"), other.run_job("send_due"))
        assert await states(one) == ["sent"] * 30
        assert len(one.published(InterventionSent)) == 30
    assert len({message["To"] for message in outbox()}) == len(outbox()) == 30


async def test_a_withdrawal_before_the_claim_stops_the_message(
    campaigns: Running, outbox: Outbox
) -> None:
    await ready_to_send(campaigns)
    await campaigns.feed(event(MessageUnsubscribed, channel="email", message_id="a-newsletter"))
    await campaigns.run_job("send_due")
    assert outbox() == []
    assert [one.data.rule for one in campaigns.published(InterventionSuppressed)] == ["consent"]


async def test_a_withdrawal_after_the_claim_comes_too_late_for_that_message_only(
    campaigns: Running, outbox: Outbox
) -> None:
    await ready_to_send(campaigns)
    campaigns.failpoints.arm("effect.before_call", "sleep", 0.5)
    sending = asyncio.create_task(campaigns.run_job("send_due"))
    while await states(campaigns) != ["sending"]:
        await asyncio.sleep(0.005)
    await campaigns.feed(event(MessageComplained, message_id="m-1", channel="email"))
    await sending
    assert len(outbox()) == 1
    assert await states(campaigns) == ["sent"]


async def test_a_retry_asks_for_consent_again(campaigns: Running, outbox: Outbox) -> None:
    await ready_to_send(campaigns)
    campaigns.failpoints.arm("effect.before_call", "error")
    with pytest.raises(Injected):
        await campaigns.run_job("send_due")
    campaigns.failpoints.disarm("effect.before_call")
    await campaigns.feed(event(MessageComplained, message_id="m-1", channel="email"))
    await end_leases(campaigns)
    await campaigns.run_job("send_due")
    assert outbox() == []
    (stopped,) = campaigns.published(InterventionSuppressed)
    assert "an earlier attempt may have reached the provider" in stopped.data.reason


async def test_opt_outs_racing_sends_leave_no_message_after_a_withdrawal(
    campaigns: Running, outbox: Outbox
) -> None:
    """Whoever is withdrawn before being claimed gets nothing; nobody is lost either."""
    names = [f"c-{number}" for number in range(1, 21)]
    await ready_to_send(campaigns, customers=20)
    leave = [
        event(MessageComplained, customer=name, message_id="m", channel="email") for name in names
    ]
    await asyncio.gather(
        campaigns.feed(*leave), campaigns.run_job("send_due"), campaigns.run_job("send_due")
    )
    await campaigns.run_job("send_due")
    ended = await states(campaigns)
    assert set(ended) <= {"sent", "suppressed"}
    assert len(outbox()) == ended.count("sent") == len(campaigns.published(InterventionSent))
    assert len(campaigns.published(InterventionSuppressed)) == ended.count("suppressed")


class Receiver:
    """Keeps what comes; refuses recipients by the code their name begins with."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.away = False

    async def handle_RCPT(  # noqa: N802 — the library's name
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        refused = re.match(r"^([45]\d\d)", address)
        if self.away:
            return "451 try later"
        if refused:
            return f"{refused.group(1)} {address} is refused"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.messages.append(message_from_bytes(envelope.content))
        return "250 taken"


def check_login(
    _server: SMTP, _session: Session, _envelope: Envelope, _way: str, data: Any
) -> AuthResult:
    right = data == LoginPassword(b"shop", b"right")
    return AuthResult(success=right, handled=False)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "mail.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


@asynccontextmanager
async def mail_server(receiver: Receiver, certificate: Path) -> AsyncIterator[int]:
    """A real SMTP server on a free port, which insists on STARTTLS and a login."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(
            receiver,
            authenticator=check_login,
            auth_required=True,
            require_starttls=True,
            tls_context=tls,
            loop=asyncio.get_running_loop(),
        ),
        host="127.0.0.1",
        port=0,
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


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


async def test_what_cannot_be_rendered_fails_with_the_reason(campaigns: Running) -> None:
    await ready_to_send(campaigns)
    async with campaigns.context.transaction() as tx:
        await tx.driver.execute("UPDATE interventions SET template = 'gone'")
    await campaigns.run_job("send_due")
    (failed,) = campaigns.published(InterventionFailed)
    assert failed.data.reason == "there is no template 'gone'"


async def test_a_message_that_waited_too_long_is_dropped(
    campaigns: Running, outbox: Outbox
) -> None:
    await ready_to_send(campaigns)
    campaigns.clock.advance(timedelta(hours=72))
    await campaigns.run_job("send_due")
    assert outbox() == []
    assert [one.data.rule for one in campaigns.published(InterventionSuppressed)] == ["stale"]
