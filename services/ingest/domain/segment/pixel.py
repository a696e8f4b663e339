"""Calls in the address of an image: as one `data` of base64, or spelled out field by field."""

import base64
import binascii
import json
from collections.abc import Sequence

from services.ingest.domain.segment.values import Object, written

_FIELDS_MAX = 200
_DEPTH_MAX = 4


def body_of(query: Sequence[tuple[str, str]]) -> bytes:
    """The JSON of the call that a query stands for; of a dotted name the parts are nested."""
    for name, value in query:
        if name == "data":
            return _decoded(value)
    call: Object = {}
    for name, value in query[:_FIELDS_MAX]:
        _put(call, name.split(".", _DEPTH_MAX), _value(value))
    try:
        return written(call).encode()
    except RecursionError:
        return b""


def _decoded(data: str) -> bytes:
    plain = data.replace("-", "+").replace("_", "/").replace(" ", "+").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4))
    except (binascii.Error, ValueError):
        return b""


def _value(text: str) -> object:
    """An object is spelled as JSON; anything else is a text."""
    if not text.startswith("{"):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _put(call: Object, path: list[str], value: object) -> None:
    inner = call
    for name in path[:-1]:
        below = inner.setdefault(name, {})
        if not isinstance(below, dict):
            return
        inner = below
    inner[path[-1]] = value
