"""The demo shop's own systems: a small receiver of webhooks that believes only good signatures.

It is also how the simulated customers hear of interventions. Signatures are checked as Standard
Webhooks 1.0.0 says: HMAC-SHA256 over `<id>.<timestamp>.<body>`, any of several, at most five
minutes old.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web

from shared.clock import unix_seconds
from stack.addresses import write_private
from stack.demo.happening import Intervention
from stack.errors import StackError
from stack.settings import LOOPBACK

TOLERANCE_SECONDS = 300
NOTE = "demo.json"
# What Tenure decides; not the echo of what the shop itself sent.
EVENT_TYPES = (
    *("threshold.crossed", "intervention.*", "journey.*", "task.*"),
    *("points.*", "tier.*", "reward.*", "referral.completed"),
)


def refusal(secret: str, headers: Mapping[str, str], body: bytes, now_seconds: float) -> str | None:
    """Why a delivery is not to be believed, or None. `headers` by lower-case name."""
    identity, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not identity or not stamp.isdigit():
        return "headers are missing"
    if abs(now_seconds - int(stamp)) > TOLERANCE_SECONDS:
        return "too old or from the future"
    expected = signature(secret, identity, stamp, body)
    for token in headers.get("webhook-signature", "").split(" "):
        version, _, given = token.partition(",")
        if version == "v1" and hmac.compare_digest(given.encode(), expected):
            return None
    return "no signature fits"


def signature(secret: str, identity: str, stamp: str, body: bytes) -> bytes:
    """Base64 of the HMAC; the secret is `whsec_` and base64, with or without its padding."""
    encoded = secret.removeprefix("whsec_")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    except binascii.Error:
        raise ValueError("not a secret of Standard Webhooks") from None
    content = b".".join((identity.encode(), stamp.encode(), body))
    return base64.b64encode(hmac.new(key, content, hashlib.sha256).digest())


@dataclass(slots=True)
class Subscriber:
    """What arrived. `hear` is called once per intervention that was sent."""

    hear: Callable[[Intervention], None]
    secret: str = ""
    url: str = ""
    endpoint_id: str = ""
    verified: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    _seen: set[str] = field(default_factory=set)

    def receive(self, headers: Mapping[str, str], body: bytes, now_seconds: float) -> int:
        """The HTTP status to answer with."""
        reason = refusal(self.secret, headers, body, now_seconds)
        if reason is not None:
            self.refused[reason] += 1
            return 401
        if headers["webhook-id"] in self._seen:
            self.repeated += 1
            return 204
        self._seen.add(headers["webhook-id"])
        message = json.loads(body)
        self.verified[message["type"]] += 1
        if message["type"] == "intervention.sent":
            self.hear(intervention_of(message))
        return 204


def intervention_of(message: Mapping[str, Any]) -> Intervention:
    """The intervention that an `intervention.sent` message tells of."""
    data = message["data"]
    return Intervention(
        id=data["intervention_id"],
        customer_id=message["customer_id"],
        channel=data["channel"],
        at=datetime.fromisoformat(message["timestamp"]),
        message_id=data.get("message_id"),
        offer=data.get("offer"),
    )


@asynccontextmanager
async def listening(subscriber: Subscriber) -> AsyncIterator[Subscriber]:
    """Serves on a free port of loopback; `subscriber.url` tells which."""

    async def answer(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        return web.Response(
            status=subscriber.receive(headers, await request.read(), unix_seconds())
        )

    app = web.Application()
    app.router.add_post("/webhooks", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, LOOPBACK, 0)
        await site.start()
        subscriber.url = f"http://{LOOPBACK}:{runner.addresses[0][1]}/webhooks"
        yield subscriber
    finally:
        await runner.cleanup()


async def register(subscriber: Subscriber, webhooks: httpx.AsyncClient, data_dir: Path) -> None:
    """Makes the endpoint, in place of the one that an earlier demo left on another port."""
    note = data_dir / NOTE
    if note.exists():
        earlier = json.loads(note.read_text())["endpoint_id"]
        await webhooks.delete(f"/v1/endpoints/{earlier}")
    answer = await webhooks.post(
        "/v1/endpoints",
        json={
            "url": subscriber.url,
            "event_types": list(EVENT_TYPES),
            "description": "The demo shop's own systems",
        },
    )
    if answer.status_code != httpx.codes.CREATED:
        raise StackError(
            f"The demo's webhook endpoint was refused ({answer.status_code}: {answer.text[:200]}).",
            "See the logs of webhooks in the data directory.",
        )
    made = answer.json()
    subscriber.secret, subscriber.endpoint_id = made["secret"], made["id"]
    write_private(note, {"endpoint_id": made["id"]})
