"""API keys as ingest announces them: the hash and the rights, never the key."""

from typing import Literal

from shared.events.envelope import Data, Event, Instant, Line, Name

Scope = Literal["ingest", "read", "operate", "admin"]


class KeyChangedData(Data):
    """`secret_hash` is the SHA-256 of the secret part in hexadecimal digits.

    `previous_hash` is that of the secret before the last rotation, good until
    `previous_expires_at`. What is posted with a `test` key is recorded and goes nowhere.
    """

    key_id: Name
    secret_hash: Name
    scopes: tuple[Scope, ...]
    label: Line
    revoked_at: Instant | None = None
    expires_at: Instant | None = None
    previous_hash: Name | None = None
    previous_expires_at: Instant | None = None
    test: Literal[True] | None = None


class KeyChanged(Event):
    """A key was made, rotated or revoked. `subject` is the key's id."""

    type: Literal["key.changed"] = "key.changed"
    data: KeyChangedData


KEYS = (KeyChanged,)
