"""What a service process says of itself over HTTP: serving, standing still, or nothing.

By the standard library: asked every few seconds while a stack is up, it has to cost nothing.
"""

import json
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

POLL_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Pulse:
    """One look at `/healthz`. `stalled`: why the process asks to be started again."""

    answered: bool
    stalled: str | None = None


def pulse(url: str) -> Pulse:
    """Asks a process at its base URL; only its own word is taken for a standstill."""
    try:
        status, text = _get(url, "/healthz")
        body = json.loads(text) if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    except (OSError, HTTPException):
        return Pulse(answered=False)
    except ValueError:
        return Pulse(answered=True)
    stalled = isinstance(body, dict) and body.get("status") == "stalled"
    return Pulse(answered=True, stalled=str(body.get("reason")) if stalled else None)


def readiness(url: str) -> str:
    """`ready`, or what the process says, or why it cannot be asked."""
    try:
        status, text = _get(url, "/readyz")
    except (OSError, HTTPException) as error:
        return str(error) or type(error).__name__
    return "ready" if status == HTTPStatus.OK else text[:200]


def _get(url: str, path: str) -> tuple[int, str]:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=POLL_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()
