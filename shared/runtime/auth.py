"""API keys, checked locally: every service follows the topic of key hashes.

A key reads `tn_<id>_<secret>`. The secret has 256 random bits, so a plain SHA-256 is a safe way to
store it (a slow hash would only make the check an attack surface).
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from shared.events.keys import KeyChanged, Scope
from shared.events.registry import UnreadableEvent, parse
from shared.runtime.log import Record

# What a scope lets its bearer do besides its own name.
IMPLIED: dict[Scope, frozenset[Scope]] = {
    "ingest": frozenset({"ingest"}),
    "read": frozenset({"read"}),
    "operate": frozenset({"operate", "read"}),
    "admin": frozenset({"admin", "operate", "read", "ingest"}),
}
_PREFIX = "tn"
_NOBODY = "0" * 64
_SECRET_CHARS = range(20, 101)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the key's id and the scopes it has. What a `test` key sends must go nowhere."""

    key_id: str
    scopes: frozenset[Scope]
    test: bool = False


@dataclass(frozen=True, slots=True)
class _Known:
    secret_hash: str
    caller: Caller
    revoked_at: datetime | None
    expires_at: datetime | None
    previous_hash: str | None = None
    previous_expires_at: datetime | None = None


def secret_hash(secret: str) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def format_key(key_id: str, secret: str) -> str:
    return f"{_PREFIX}_{key_id}_{secret}"


def split_key(key: str) -> tuple[str, str] | None:
    """(id, secret) of a well-formed key, else None. Half a surrogate pair cannot even be hashed."""
    prefix, _, rest = key.partition("_")
    key_id, _, secret = rest.partition("_")
    well_formed = prefix == _PREFIX and key_id and len(secret) in _SECRET_CHARS
    if not well_formed or not key.isascii():
        return None
    return key_id, secret


class KeyRing:
    """The hashes of all keys, kept current from the log."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        # Ids of events by key: the log repeats itself, and a revocation must not be undone by a
        # late copy of what came before it. The topic keeps all, so the first copies are in order.
        self._seen: dict[str, set[str]] = {}

    def apply(self, records: Iterable[Record]) -> None:
        """Learns from records of `ingest.keys`; a later record of a key replaces the earlier."""
        for record in records:
            if record.value is None:
                if record.key is not None:
                    key_id = record.key.decode(errors="replace")
                    self._known.pop(key_id, None)
                continue
            try:
                event = parse(record.value)
            except UnreadableEvent:
                continue  # written by a newer version; the key is unknown here until the upgrade
            if isinstance(event, KeyChanged):
                self._learn(event)

    def _learn(self, event: KeyChanged) -> None:
        data = event.data
        seen = self._seen.setdefault(data.key_id, set())
        if event.id in seen:
            return
        seen.add(event.id)
        scopes = frozenset(implied for scope in data.scopes for implied in IMPLIED[scope])
        self._known[data.key_id] = _Known(
            data.secret_hash,
            Caller(data.key_id, scopes, data.test is True),
            data.revoked_at,
            data.expires_at,
            data.previous_hash,
            data.previous_expires_at,
        )

    def caller(self, key: str, now: datetime) -> Caller | None:
        """Who bears this key, or None. The same work is done for a wrong and a right one."""
        parts = split_key(key)
        if parts is None:
            return None
        known = self._known.get(parts[0])
        given = secret_hash(parts[1])
        right = hmac.compare_digest(given, known.secret_hash if known else _NOBODY)
        before = hmac.compare_digest(given, (known.previous_hash if known else None) or _NOBODY)
        if known is None or not (right or (before and _still(known.previous_expires_at, now))):
            return None
        ends = [end for end in (known.revoked_at, known.expires_at) if end is not None]
        return None if any(now >= end for end in ends) else known.caller

    def __len__(self) -> int:
        return len(self._known)


def _still(end: datetime | None, now: datetime) -> bool:
    return end is not None and now < end
