"""The token of an unsubscribe link: an intervention's id, signed, and nothing personal.

The intervention says whom and which list (channel and purpose) it is about. Tokens do not expire:
an old message must be as easy to unsubscribe from as a new one.
"""

import base64
import binascii
import hashlib
import hmac
import uuid

_MAC_BYTES = 16
_SIZE_BYTES = 16 + _MAC_BYTES


def token_of(intervention_id: str, secret: bytes) -> str:
    """43 URL-safe characters: the id's 16 bytes and the first 16 of an HMAC-SHA256 of them."""
    raw = uuid.UUID(intervention_id).bytes
    return base64.urlsafe_b64encode(raw + _mac(raw, secret)).decode().rstrip("=")


def intervention_of(token: str, secret: bytes) -> str | None:
    """The intervention that a token was signed for, or None when it was not signed by us."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(raw) != _SIZE_BYTES or not hmac.compare_digest(raw[16:], _mac(raw[:16], secret)):
        return None
    return str(uuid.UUID(bytes=raw[:16]))


def _mac(raw: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, b"unsubscribe\x00" + raw, hashlib.sha256)[:_MAC_BYTES]
