"""Signing secrets at rest: AES-256-GCM with a key that is kept outside the database.

Whoever steals a dump of the database can then not forge webhooks. The key is a setting, or a file
that is made on first use; with another key than the one they were sealed with, secrets cannot be
opened and endpoints must be given new ones.
"""

from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.ids import random_secret_bytes
from shared.runtime.keyfile import load_key

KEY_FILE = "webhooks.key"
_NONCE_BYTES = 12


class Vault:
    """Seals and opens secrets. `owner` is bound into the seal, so rows cannot be swapped."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, secret: bytes, owner: str) -> bytes:
        nonce = random_secret_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, owner.encode())

    def open(self, sealed: bytes, owner: str) -> bytes | None:
        """The secret, or None when it was sealed with another key or for another owner."""
        nonce, text = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, text, owner.encode())
        except InvalidTag:
            return None


def open_vault(configured: str | None, data_dir: Path) -> Vault:
    """The vault of the configured key (32 bytes in base64), else of the key file."""
    return Vault(load_key(configured, data_dir / KEY_FILE, "webhook secrets"))
