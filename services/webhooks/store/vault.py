"""Signing secrets at rest: AES-256-GCM with a key that is kept outside the database.

Whoever steals a dump of the database can then not forge webhooks. The key is a setting, or a file
that is made on first use; with another key than the one they were sealed with, secrets cannot be
opened and endpoints must be given new ones.
"""

import base64
import binascii
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.ids import random_secret_bytes

KEY_FILE = "webhooks.key"
_KEY_BYTES = 32
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
    text = configured if configured is not None else _file_key(data_dir / KEY_FILE)
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != _KEY_BYTES:
        raise ValueError(f"the key for webhook secrets must be {_KEY_BYTES} bytes in base64")
    return Vault(key)


def _file_key(path: Path) -> str:
    """Reads the file, or makes it so that of several processes at once exactly one wins."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}.{random_secret_bytes(4).hex()}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(base64.b64encode(random_secret_bytes(_KEY_BYTES)))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)
        except FileExistsError:
            fresh.unlink()
            return path.read_text("ascii")
        fresh.unlink()
    return path.read_text("ascii")
