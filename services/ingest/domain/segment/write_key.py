"""Where the write key of a request is found. Clients put it in six places.

In this order: Basic, with the key as user name, or with nothing but the key; our own key as Bearer;
the body's `writeKey`, beside or in a call; the header `X-Write-Key`; the query. A Bearer token that
is not a key of ours comes from a client with a token of its own: then the key stands in the body.
"""

import base64
import binascii

_KEY_PREFIX = "tn_"


def of_authorization(value: bytes) -> str | None:
    """The key of an `Authorization` header, or None."""
    scheme, _, rest = value.decode("latin-1").partition(" ")
    match scheme.lower():
        case "basic":
            return _basic(rest.strip())
        case "bearer" if rest.strip().startswith(_KEY_PREFIX):
            return rest.strip()
    return None


def _basic(credentials: str) -> str | None:
    try:
        told = base64.b64decode(credentials + "=" * (-len(credentials) % 4)).decode("latin-1")
    except (binascii.Error, ValueError):
        return None
    return told.partition(":")[0] or None
