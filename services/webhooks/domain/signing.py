"""Standard Webhooks 1.0.0 signatures: HMAC-SHA256 (`v1`) over `{id}.{timestamp}.{body}`.

Source: `spec/standard-webhooks.md` of standard-webhooks/standard-webhooks.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence

SECRET_PREFIX = "whsec_"  # noqa: S105 — the public prefix, not a secret
SECRET_BYTES = 32
_KEY_BYTES_MIN, _KEY_BYTES_MAX = 24, 64
_VERSION = "v1"


def format_secret(key: bytes) -> str:
    """A key of 24 to 64 bytes as subscribers see it: `whsec_` and standard base64."""
    assert _KEY_BYTES_MIN <= len(key) <= _KEY_BYTES_MAX, "what the specification asks for"
    return SECRET_PREFIX + base64.b64encode(key).decode()


def key_of(secret: str) -> bytes:
    """The key of a secret, with or without prefix and padding; not base64 is a `ValueError`."""
    text = secret.removeprefix(SECRET_PREFIX).rstrip("=")
    return base64.b64decode(text + "=" * (-len(text) % 4))


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """One token of the signature header."""
    content = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(key, content, hashlib.sha256).digest()
    return f"{_VERSION},{base64.b64encode(digest).decode()}"


def headers(
    keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes
) -> Mapping[str, str]:
    """The three headers of one attempt; `keys` newest first, `timestamp` in whole seconds.

    Verifiers choke on empty tokens and on two spaces, so there is exactly one between tokens. The
    same `timestamp` goes into header and content: read the clock once.
    """
    assert keys, "an attempt without a signature must not leave"
    assert "." not in message_id, "a dot would make the signed content ambiguous"
    assert body, "verifiers parse the body"
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(key, message_id, timestamp, body) for key in keys),
    }
