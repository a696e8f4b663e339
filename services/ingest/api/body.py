"""Reads a request's body: bounded on the wire, bounded again while it is inflated."""

import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from services.ingest.sender import Hold
from shared.runtime.http import Problem
from shared.runtime.web import BodyTooLarge

_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_STEP_BYTES = 262_144
_GZIP_NAMES = frozenset({b"gzip", b"x-gzip"})


class Gone(Exception):
    """The client went away before its body was complete."""


class BodyLimits(NamedTuple):
    """How many bytes a body may have on the wire, and once inflated."""

    bytes_max: int
    inflated_bytes_max: int


async def read_body(
    headers: Mapping[bytes, bytes],
    receive: Callable[[], Awaitable[Any]],
    hold: Hold,
    limits: BodyLimits,
) -> bytes:
    """The body, inflated if it was compressed. Every byte counts as in flight as it comes.

    Raises `Problem` 400 for broken gzip, 413 for too much inflated, 415 for another encoding, and
    `BodyTooLarge`, `Busy` and `Gone`.
    """
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in _GZIP_NAMES and encoding != b"identity":
        raise Problem(415, "content-encoding must be gzip or identity")
    chunks: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        chunk = message.get("body", b"")
        if hold.held_bytes + len(chunk) > limits.bytes_max:
            raise BodyTooLarge(limits.bytes_max)
        hold.take(len(chunk))
        chunks.append(chunk)
        more = message.get("more_body", False)
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return _inflate(body, hold, limits.inflated_bytes_max) if encoding in _GZIP_NAMES else body


def _inflate(body: bytes, hold: Hold, bytes_max: int) -> bytes:
    """Inflates step by step and stops at the bound, whatever the body says of its own size."""
    inflater = zlib.decompressobj(_GZIP_WINDOW)
    parts: list[bytes] = []
    size = 0
    pending = body
    try:
        while not inflater.eof:
            part = inflater.decompress(pending, _STEP_BYTES)
            pending = inflater.unconsumed_tail
            size += len(part)
            if size > bytes_max:
                raise Problem(413, f"the inflated body is larger than {bytes_max} bytes")
            hold.take(len(part))
            parts.append(part)
            if not part and not pending:
                break
    except zlib.error:
        raise Problem(400, "the body is not valid gzip") from None
    if not inflater.eof or inflater.unused_data:
        raise Problem(400, "the body is not one complete gzip member")
    return b"".join(parts)
