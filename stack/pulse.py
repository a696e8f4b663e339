"""What a service process says of itself over HTTP: serving, standing still, or nothing."""

from dataclasses import dataclass

import httpx

POLL_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Pulse:
    """One look at `/healthz`. `stalled`: why the process asks to be started again."""

    answered: bool
    stalled: str | None = None


def pulse(url: str) -> Pulse:
    """Asks a process at its base URL; only its own word is taken for a standstill."""
    try:
        answer = httpx.get(f"{url}/healthz", timeout=POLL_SECONDS, trust_env=False)
        body = answer.json() if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else {}
    except httpx.HTTPError:
        return Pulse(answered=False)
    except ValueError:
        return Pulse(answered=True)
    stalled = isinstance(body, dict) and body.get("status") == "stalled"
    return Pulse(answered=True, stalled=str(body.get("reason")) if stalled else None)


def readiness(url: str) -> str:
    """`ready`, or what the process says, or why it cannot be asked."""
    try:
        answer = httpx.get(f"{url}/readyz", timeout=POLL_SECONDS, trust_env=False)
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
    return "ready" if answer.status_code == httpx.codes.OK else answer.text[:200]
