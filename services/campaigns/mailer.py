"""Providers of e-mail: SMTP, and a folder of `.eml` files. The only file that knows aiosmtplib.

A failed call is a value. Both providers get the same `Message-ID` at every attempt; the folder uses
it as the file's name, so there a message exists once however often it is tried.
"""

import asyncio
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Any, Literal, Protocol

import aiosmtplib

from services.campaigns.domain.sending import Delivered, Mail, Outcome, Rejected, has_line_break

_PERMANENT_CODE_MIN = 500
# Asks for a login or for TLS, wherever it comes: our set-up is wrong, not the message.
_OURS = frozenset({530, 534, 535, 538})
_QUIT_SECONDS = 1.0


class Provider(Protocol):
    """Takes an e-mail, in so many seconds at most. `forget` removes what it keeps of one, when a
    person is erased."""

    name: str

    async def send(self, mail: Mail, seconds_max: float) -> Outcome: ...

    async def forget(self, message_id: str) -> None: ...


class _Headers(EmailPolicy):
    """Leaves the unsubscribe link on the line of its name: not every reader unfolds headers."""

    def fold(self, name: str, value: Any) -> str:
        return _one_line(name, value) or super().fold(name, value)

    def fold_binary(self, name: str, value: Any) -> bytes:
        return _one_line(name, value).encode() or super().fold_binary(name, value)


def _one_line(name: str, value: object) -> str:
    return f"{name}: {value}\r\n" if name == "List-Unsubscribe" else ""


_POLICY = _Headers(linesep="\r\n")


def message_of(mail: Mail) -> EmailMessage:
    """The message with its headers (RFC 5322, one-click unsubscribe by RFC 8058).

    A line break in a header is a `ValueError`: it could smuggle in others.
    """
    headers = {
        "From": mail.sender,
        "To": mail.recipient,
        "Subject": mail.subject,
        "Message-ID": f"<{mail.message_id}>",
        "Date": format_datetime(mail.sent_at),
        "List-Unsubscribe": f"<{mail.unsubscribe_url}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    message = EmailMessage(policy=_POLICY)
    for name, value in headers.items():
        if has_line_break(value):
            raise ValueError(f"a line break in the header {name}")
        message[name] = value
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    return message


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """How to reach the mail server; times in seconds. `ca_file`: whom else to trust, as PEM."""

    host: str
    port: int
    security: Literal["none", "starttls", "tls"]
    username: str | None
    password: str | None
    timeout_seconds: float
    ca_file: Path | None = None


class SmtpProvider:
    """One connection a message: simple and right; a pool is for volumes beyond a shop's."""

    name = "smtp"

    def __init__(self, server: SmtpServer) -> None:
        self._server = server

    async def send(self, mail: Mail, seconds_max: float) -> Outcome:
        """Delivered once the server took the content."""
        try:
            content = message_of(mail).as_bytes()
        except ValueError as error:
            return Rejected(str(error), permanent=True)
        client = self._client()
        try:
            async with asyncio.timeout(seconds_max):
                await client.connect()
                await client.sendmail(parseaddr(mail.sender)[1], [mail.recipient], content)
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError) as error:
            return _rejected(error)
        else:
            # Taken is taken, however the parting goes.
            with suppress(aiosmtplib.SMTPException, OSError):
                await client.quit(timeout=_QUIT_SECONDS)
            return Delivered()
        finally:
            client.close()

    def _client(self) -> aiosmtplib.SMTP:
        server = self._server
        return aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            use_tls=server.security == "tls",
            start_tls=server.security == "starttls",
            cert_bundle=str(server.ca_file) if server.ca_file is not None else None,
            timeout=server.timeout_seconds,
        )

    async def forget(self, message_id: str) -> None:
        """Nothing is kept here."""


def _rejected(error: Exception) -> Rejected:
    """Permanent is only what the server says of this recipient or this content with 5xx: what it
    says of us, of the sender or of itself would hit every message, and can be mended.

    The server's words are left out: they often repeat the address.
    """
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        code = max(one.code for one in error.recipients)
    elif isinstance(error, aiosmtplib.SMTPResponseException):
        code = error.code
    elif isinstance(error, ValueError):
        return Rejected("an address cannot be written on an envelope", permanent=False)
    else:
        return Rejected(f"the mail server is away: {type(error).__name__}", permanent=False)
    ours = not isinstance(error, aiosmtplib.SMTPRecipientsRefused | aiosmtplib.SMTPDataError)
    permanent = code >= _PERMANENT_CODE_MIN and code not in _OURS and not ours
    return Rejected(f"the mail server answered {code}", permanent)


class FileProvider:
    """Writes `<message id>.eml` into a folder: for development, demonstrations and tests."""

    name = "file"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, mail: Mail, seconds_max: float) -> Outcome:  # noqa: ARG002 — the protocol's
        """Exactly once: the name is taken atomically, with the whole content or not at all."""
        try:
            content = message_of(mail).as_bytes()
        except ValueError as error:
            return Rejected(str(error), permanent=True)
        try:
            await asyncio.to_thread(self._write, mail.message_id, content)
        except OSError as error:
            return Rejected(f"the folder cannot be written: {error.strerror}", permanent=False)
        return Delivered()

    async def forget(self, message_id: str) -> None:
        await asyncio.to_thread(self._path(message_id).unlink, missing_ok=True)

    def _path(self, message_id: str) -> Path:
        return self._folder / f"{message_id.replace('/', '_')}.eml"

    def _write(self, message_id: str, content: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._folder / f".{secrets.token_hex(8)}.part"
        try:
            with draft.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, self._path(message_id))
        except FileExistsError:
            return  # an earlier attempt, whose outcome was not recorded
        finally:
            draft.unlink(missing_ok=True)
