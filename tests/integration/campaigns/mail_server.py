"""A mail server for tests, which keeps what comes and refuses what it is told to refuse."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Receiver:
    """Keeps what comes; refuses recipients by the code their name begins with.

    Content for recipients whose address begins with `slow` is answered only once `released`.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.away = False
        self.arriving = 0
        self.released = asyncio.Event()

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
        if envelope.rcpt_tos[0].startswith("slow"):
            self.arriving += 1
            await self.released.wait()
        self.messages.append(message_from_bytes(envelope.content))
        return "250 taken"


def check_login(
    _server: SMTP, _session: Session, _envelope: Envelope, _way: str, data: Any
) -> AuthResult:
    right = data == LoginPassword(b"shop", b"right")
    return AuthResult(success=right, handled=False)


def make_certificate(path: Path) -> None:
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
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )


@asynccontextmanager
async def mail_server(receiver: Receiver, certificate: Path | None = None) -> AsyncIterator[int]:
    """A real SMTP server on a free port; with a certificate it insists on STARTTLS and a login."""
    strict: dict[str, Any] = {}
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
        strict = {
            "authenticator": check_login,
            "auth_required": True,
            "require_starttls": True,
            "tls_context": tls,
        }
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(receiver, loop=loop, **strict), host="127.0.0.1", port=0
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def scripted_server(**answers: str) -> AsyncIterator[int]:
    """Answers every command with 250, but those named by what they are told; `greeting` and
    `content` (after DATA) too. An empty answer is silence."""

    ended: list[asyncio.Event] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        over = asyncio.Event()
        ended.append(over)

        def say(verb: str, usual: str = "250 ok") -> None:
            writer.write(f"{answer}\r\n".encode() if (answer := answers.get(verb, usual)) else b"")

        say("greeting", "220 here")
        while line := await reader.readline():
            verb = line[:4].decode().strip().lower()
            say(verb, {"data": "354 go on", "quit": "221 bye"}.get(verb, "250 ok"))
            if verb == "data" and "data" not in answers:
                await reader.readuntil(b"\r\n.\r\n")
                say("content")
        writer.close()
        over.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for over in ended:
            await over.wait()


def plain_smtp(port: int) -> dict[str, Any]:
    """Settings for a server without TLS and login."""
    return {"mail_provider": "smtp", "smtp_port": port, "smtp_security": "none"}
