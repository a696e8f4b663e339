"""Where the write key of a request is found. Clients put it in six places.

In this order: Basic, with the key as user name, or with nothing but the key; our own key as Bearer;
the body's `writeKey`, beside or in a call; the header `X-Write-Key`; the query. Credentials that
are no key of ours come from a client or a proxy with its own: then the key stands elsewhere.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from itertools import islice

_KEY_PREFIX = "tn_"
_IN_BODY = re.compile(rb'"writeKey"\s*:\s*"(tn_[0-9A-Za-z_-]{1,200})"').finditer
_LOOKED_AT_MAX = 5_000
_NAMED_MAX = 5


def named_in(body: bytes) -> Sequence[str]:
    """Some keys that a body names, found without taking it apart. Texts within it cannot pose as
    one: there the quotation marks are escaped."""
    found = dict.fromkeys(match[1].decode() for match in islice(_IN_BODY(body), _LOOKED_AT_MAX))
    return list(islice(found, _NAMED_MAX))


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
    key = told.partition(":")[0]
    return key if key.startswith(_KEY_PREFIX) else None
