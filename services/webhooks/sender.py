"""The only file that calls out: aiohttp with a resolver and a socket factory of our own.

Whatever a URL says, the guard judges the addresses that the connection will use: names are looked
up once, every address of the answer must pass, and the socket is opened to one of those very
addresses, with the URL's own Host and server name. There are no redirects and no proxies.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Protocol

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from services.webhooks.domain.addresses import Address, canonical, is_public, literal
from services.webhooks.domain.delivery import Failure, Outcome, failure_of
from services.webhooks.domain.target import Guard, Refused, Target, target_of
from shared.clock import monotonic_seconds

USER_AGENT = "Tenure-Webhooks/1 (+https://www.standardwebhooks.com)"
_KEEP_ALIVE_SECONDS = 4.0
_READ_BYTES = 4_096


class BlockedAddress(Exception):
    """The guard refused the addresses of a connection."""


class Lookup(Protocol):
    """Names to addresses: the system's in production, a table in tests."""

    async def __call__(self, host: str, port: int, /) -> Sequence[str]: ...


async def system_lookup(host: str, port: int) -> Sequence[str]:
    """All addresses of a name, from the system's resolver; `OSError` when there are none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for _, _, _, _, sockaddr in found))


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one call: seconds in all, to connect, and for the answer's body; bytes of it to read."""

    call_seconds_max: float = 15.0
    connect_seconds_max: float = 5.0
    answer_seconds_max: float = 2.0
    answer_bytes_max: int = 16_384
    calls_in_flight_max: int = 100


# What the connection in the making is for. aiohttp hands resolvers no URL, but runs them in the
# caller's context.
_wanted: ContextVar[Target | None] = ContextVar("wanted", default=None)


class _Answer(aiohttp.ClientResponse):
    """An answer that remembers which address gave it; reading may give the connection back."""

    peer: str | None = None

    async def start(self, connection: Any) -> "aiohttp.ClientResponse":
        transport = connection.transport
        name = transport.get_extra_info("peername") if transport is not None else None
        self.peer = str(name[0]) if name else None
        return await super().start(connection)


class Resolver(AbstractResolver):
    """Looks a name up once and lets nothing through that the guard refuses."""

    def __init__(self, guard: Guard, lookup: Lookup) -> None:
        self._guard = guard
        self._lookup = lookup

    async def addresses(self, target: Target) -> Sequence[Address]:
        """The addresses to use for a target. Raises `OSError` or `BlockedAddress`."""
        spelled = literal(target.host)
        texts = [str(spelled)] if spelled else await self._lookup(target.host, target.port)
        try:
            found = [canonical(text) for text in texts]
        except ValueError as error:
            raise BlockedAddress("the host's address is local") from error
        refusal = self._guard.refusal(target, found)
        if refusal is not None:
            raise BlockedAddress(refusal)
        return found

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002 — the protocol's
    ) -> list[ResolveResult]:
        """For aiohttp; `family` is ignored, the addresses have their own."""
        target = _wanted.get()
        if target is None:
            raise BlockedAddress("a connection nobody asked for")
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,  # noqa: PLR2004
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in await self.addresses(target)
        ]

    def open_socket(self, info: tuple[Any, ...]) -> socket.socket:
        """The last word before connecting, for literal addresses too."""
        family, kind, protocol, _, sockaddr = info
        target = _wanted.get()
        if target is None or self._guard.refusal(target, [canonical(str(sockaddr[0]))]):
            raise BlockedAddress("the address is not a public one")
        opened = socket.socket(family=family, type=kind, proto=protocol)
        opened.setblocking(False)
        return opened

    async def close(self) -> None:
        return


class Sender:
    """Makes calls. A failed call is an `Outcome`, not an exception."""

    def __init__(
        self, session: aiohttp.ClientSession, resolver: Resolver, guard: Guard, limits: Limits
    ) -> None:
        self._session = session
        self._resolver = resolver
        self._guard = guard
        self._limits = limits

    async def refusal(self, url: str) -> str | None:
        """Why an endpoint may not have this URL, judged as of now; None when it may."""
        target = target_of(url)
        if isinstance(target, Refused):
            return target.reason
        try:
            async with asyncio.timeout(self._limits.connect_seconds_max):
                await self._resolver.addresses(target)
        except BlockedAddress as blocked:
            return str(blocked)
        except (OSError, UnicodeError):
            return "the host does not resolve"
        return None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """One call, in no more than the limit of seconds."""
        started = monotonic_seconds()

        def elapsed_ms() -> int:
            return round((monotonic_seconds() - started) * 1000)

        target = target_of(url)
        if isinstance(target, Refused):
            return Outcome(None, "blocked_address", elapsed_ms())
        marked = _wanted.set(target)
        try:
            async with asyncio.timeout(self._limits.call_seconds_max):
                spelled = literal(target.host)
                if spelled is not None:
                    await self._resolver.addresses(target)
                pinned = URL(url) if spelled is None else URL(url).with_host(str(spelled))
                return await self._fresh_if_stale(pinned, headers, body, elapsed_ms)
        except Exception as error:
            failure = failure_class(error)
            if failure is None:
                raise
            return Outcome(None, failure, elapsed_ms())
        finally:
            _wanted.reset(marked)

    async def _fresh_if_stale(
        self, url: URL, headers: Mapping[str, str], body: bytes, elapsed_ms: Any
    ) -> Outcome:
        """Once more when the receiver had just closed an idle connection that we took up again."""
        trace = SimpleNamespace(reused=False)
        try:
            return await self._call(url, headers, body, elapsed_ms, trace)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if not trace.reused:
                raise
            return await self._call(url, headers, body, elapsed_ms, trace)

    async def _call(
        self,
        url: URL,
        headers: Mapping[str, str],
        body: bytes,
        elapsed_ms: Any,
        trace: SimpleNamespace,
    ) -> Outcome:
        async with self._session.post(
            url, data=body, headers=headers, allow_redirects=False, trace_request_ctx=trace
        ) as answer:
            start, size = await self._start_of(answer)
            return Outcome(
                status=answer.status,
                failure=failure_of(answer.status),
                duration_ms=elapsed_ms(),
                answer=self._shown(answer, start),
                answer_bytes=size,
                retry_after=answer.headers.get("Retry-After"),
            )

    async def _start_of(self, answer: aiohttp.ClientResponse) -> tuple[bytes, int]:
        """The first bytes; a connection whose answer goes on is closed, not read to its end."""
        limit = self._limits.answer_bytes_max
        start = bytearray()
        # The status has come and decides; the rest is for the log only.
        with suppress(TimeoutError, aiohttp.ClientError):
            async with asyncio.timeout(self._limits.answer_seconds_max):
                while len(start) <= limit:
                    piece = await answer.content.read(_READ_BYTES)
                    if not piece:
                        return bytes(start), len(start)
                    start += piece
        answer.close()
        return bytes(start[:limit]), min(len(start), limit)

    def _shown(self, answer: aiohttp.ClientResponse, start: bytes) -> str | None:
        """Text for the log, only when the world could have read it too."""
        peer = answer.peer if isinstance(answer, _Answer) else None
        if peer is None or not is_public(canonical(peer)):
            return None
        return start.decode("utf-8", "replace").replace("\x00", "")


def failure_class(error: BaseException) -> Failure | None:
    """What kind of failure of the outside world an exception is; None for one of our own."""
    classes: tuple[tuple[type[BaseException], Failure], ...] = (
        (BlockedAddress, "blocked_address"),
        (aiohttp.InvalidURL, "blocked_address"),
        (TimeoutError, "timeout"),
        (aiohttp.ClientConnectorDNSError, "dns_error"),
        (socket.gaierror, "dns_error"),
        (aiohttp.ClientSSLError, "tls"),
        (aiohttp.ServerDisconnectedError, "reset"),
        (ConnectionResetError, "reset"),
        (aiohttp.ClientConnectorError, "refused"),
        (aiohttp.ClientOSError, "reset"),
        (aiohttp.ClientError, "network"),
        (OSError, "network"),
    )
    return next((name for kind, name in classes if isinstance(error, kind)), None)


@asynccontextmanager
async def open_sender(
    guard: Guard, limits: Limits, lookup: Lookup = system_lookup
) -> AsyncIterator[Sender]:
    """A sender with its pool of connections."""
    resolver = Resolver(guard, lookup)
    connector = aiohttp.TCPConnector(
        resolver=resolver,
        socket_factory=resolver.open_socket,
        use_dns_cache=False,
        happy_eyeballs_delay=None,
        limit=limits.calls_in_flight_max,
        keepalive_timeout=_KEEP_ALIVE_SECONDS,
    )
    # The limit of the whole call is `post`'s alone: were aiohttp to cancel at the same instant, the
    # task would see a cancellation instead of a timeout, and the outcome would be lost.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_seconds_max)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        response_class=_Answer,
        trace_configs=[_reuse_trace()],
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": USER_AGENT, "Content-Type": "application/json"},
        skip_auto_headers=("Accept-Encoding",),
        auto_decompress=False,
        trust_env=False,
    ) as session:
        yield Sender(session, resolver, guard, limits)


def _reuse_trace() -> aiohttp.TraceConfig:
    """Notes whether a call took up a connection that was there already."""

    async def reused(_session: Any, context: Any, _params: Any) -> None:
        context.trace_request_ctx.reused = True

    async def fresh(_session: Any, context: Any, _params: Any) -> None:
        context.trace_request_ctx.reused = False

    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(reused)
    trace.on_connection_create_start.append(fresh)
    return trace
