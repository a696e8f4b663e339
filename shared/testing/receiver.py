"""A recording receiver of webhooks for tests and the demo, with a signature check of its own.

The check is written from the specification and shares nothing with the sender, so that a mistake
there cannot hide here. The receiver misbehaves on demand: see `Behaviour`.

    async with receiving() as receiver:
        receiver.trust("whsec_…")
        receiver.then(Behaviour(status=500))        # once; afterwards 200 again
        calls = await receiver.wait_for(2)

`python -m shared.testing.receiver --port 9999` runs one by itself: `POST /trust {"secret"}` tells
it whom to believe, `GET /summary` what came, and everything else is taken for a webhook.
"""

import argparse
import asyncio
import base64
import binascii
import hashlib
import hmac
import json
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from shared.clock import unix_seconds

TOLERANCE_SECONDS = 300
_WAIT_SECONDS = 10.0
_PIECE_BYTES = 65_536
_KEPT_CALLS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How to answer a call. `hang`: no answer until released. `reset`: cut the connection.

    `body_bytes` of answer are sent; with `drip_seconds` one at a time, so long apart.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    body_bytes: int | None = None
    drip_seconds: float | None = None
    hang: bool = False
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """One call as it came. `problem` is why its signature is not to be believed, or None."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    problem: str | None
    at: float

    @property
    def message_id(self) -> str:
        return self.headers.get("webhook-id", "")

    @property
    def verified(self) -> bool:
        return self.problem is None

    def json(self) -> Any:
        return json.loads(self.body)


def problem_of(
    headers: Mapping[str, str], body: bytes, secrets: list[str], now_seconds: float
) -> str | None:
    """Why a call is forged, replayed or broken (Standard Webhooks 1.0.0); None when it is good."""
    message = headers.get("webhook-id", "")
    stamp = headers.get("webhook-timestamp", "")
    tokens = headers.get("webhook-signature", "").split(" ")
    if not message or "." in message:
        return "webhook-id"
    if not stamp.isdigit() or abs(now_seconds - int(stamp)) > TOLERANCE_SECONDS:
        return "webhook-timestamp"
    if any(token.count(",") != 1 for token in tokens):
        return "malformed webhook-signature"
    content = b".".join((message.encode(), stamp.encode(), body))
    given = [token.removeprefix("v1,") for token in tokens if token.startswith("v1,")]
    for secret in secrets:
        expected = hmac.digest(_key(secret), content, hashlib.sha256)
        if any(hmac.compare_digest(expected, _decoded(one)) for one in given):
            return None
    return "webhook-signature"


def _key(secret: str) -> bytes:
    text = secret[len("whsec_") :] if secret.startswith("whsec_") else secret
    return base64.b64decode(text + "=" * (-len(text) % 4))


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""


class Receiver:
    """What came, and how to answer what comes next."""

    def __init__(self, now_seconds: Callable[[], float] = unix_seconds) -> None:
        self._now_seconds = now_seconds
        self._secrets: list[str] = []
        self._next: deque[Behaviour] = deque()
        self._always = Behaviour()
        self._arrived = asyncio.Condition()
        self._released = asyncio.Event()
        self._count = 0
        self._problems: Counter[str] = Counter()
        self._types: Counter[str] = Counter()
        self._seen: set[str] = set()
        # The latest calls, as many as are kept; the counts are of all.
        self.calls: deque[Received] = deque(maxlen=_KEPT_CALLS_MAX)
        self.in_flight = 0
        self.in_flight_max = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def trust(self, *secrets: str) -> None:
        """Believes calls signed with one of these too."""
        self._secrets += secrets

    def then(self, *behaviours: Behaviour) -> None:
        """Answers the next calls so, one each, before `always` applies again."""
        self._next.extend(behaviours)

    def always(self, behaviour: Behaviour) -> None:
        """Answers every further call so."""
        self._always = behaviour

    def release(self) -> None:
        """Answers all calls that hang, now and later."""
        self._released.set()

    @property
    def verified(self) -> list[Received]:
        """The calls whose signature was good."""
        return [call for call in self.calls if call.verified]

    def events(self) -> list[Any]:
        """The bodies of verified calls, without repeated message ids, in order of arrival."""
        first = {call.message_id: call for call in reversed(self.verified)}
        return [call.json() for call in self.calls if first.get(call.message_id) is call]

    async def wait_for(self, calls: int, seconds_max: float = _WAIT_SECONDS) -> list[Received]:
        """Until so many calls have come; `TimeoutError` otherwise."""
        async with asyncio.timeout(seconds_max), self._arrived:
            await self._arrived.wait_for(lambda: self._count >= calls)
        return list(self.calls)

    def summary(self) -> dict[str, Any]:
        """Calls, how many were verified, distinct messages, and those by type."""
        return {
            "calls": self._count,
            "verified": self._count - self._problems.total(),
            "messages": self._types.total(),
            "by_type": dict(sorted(self._types.items())),
            "problems": dict(self._problems),
        }

    def _note(self, call: Received) -> None:
        self._count += 1
        self.calls.append(call)
        if call.problem is not None:
            self._problems[call.problem] += 1
        elif call.message_id not in self._seen:
            self._seen.add(call.message_id)
            self._types[str(call.json()["type"])] += 1

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Takes a webhook."""
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        problem = problem_of(headers, body, self._secrets, self._now_seconds())
        call = Received(request.path, headers, body, problem, self._now_seconds())
        behaviour = self._next.popleft() if self._next else self._always
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        try:
            async with self._arrived:
                self._note(call)
                self._arrived.notify_all()
            return await self._answer(request, behaviour)
        finally:
            self.in_flight -= 1

    async def _answer(self, request: web.Request, behaviour: Behaviour) -> web.StreamResponse:
        if behaviour.hang:
            await self._released.wait()
        if behaviour.reset and request.transport is not None:
            request.transport.abort()
        if behaviour.body_bytes is None:
            return web.Response(
                status=behaviour.status, headers=behaviour.headers, body=behaviour.body
            )
        return await self._stream(request, behaviour, behaviour.body_bytes)

    async def _stream(
        self, request: web.Request, behaviour: Behaviour, body_bytes: int
    ) -> web.StreamResponse:
        answer = web.StreamResponse(status=behaviour.status, headers=behaviour.headers)
        await answer.prepare(request)
        left = body_bytes
        while left > 0:
            piece = min(left, 1 if behaviour.drip_seconds else _PIECE_BYTES)
            await answer.write(b"x" * piece)
            left -= piece
            if behaviour.drip_seconds:
                await asyncio.sleep(behaviour.drip_seconds)
        return answer

    async def handle_trust(self, request: web.Request) -> web.Response:
        """`POST /trust {"secret"}`."""
        self.trust(str((await request.json())["secret"]))
        return web.json_response({}, status=200)

    async def handle_summary(self, _request: web.Request) -> web.Response:
        """`GET /summary`."""
        return web.json_response(self.summary())


@asynccontextmanager
async def receiving(
    port: int = 0, now_seconds: Callable[[], float] = unix_seconds
) -> AsyncIterator[Receiver]:
    """A receiver that listens on 127.0.0.1 (port 0: any free one); cut off on leaving."""
    receiver = Receiver(now_seconds)
    app = web.Application()
    app.router.add_post("/trust", receiver.handle_trust)
    app.router.add_get("/summary", receiver.handle_summary)
    app.router.add_post("/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
        receiver.port = runner.addresses[0][1]
        yield receiver
    finally:
        receiver.release()
        await runner.cleanup()


async def _serve(port: int, secrets: list[str]) -> None:
    async with receiving(port) as receiver:
        receiver.trust(*secrets)
        await asyncio.Event().wait()


def main() -> None:
    """Runs a receiver until it is killed."""
    parser = argparse.ArgumentParser(description="A local receiver of signed webhooks.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--secret", action="append", default=[], help="whsec_…, may be repeated")
    given = parser.parse_args()
    try:
        asyncio.run(_serve(given.port, given.secret))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
