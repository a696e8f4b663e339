"""Keys that a service keeps outside its database: a setting, or a file made on first use."""

import base64
import binascii
import os
from pathlib import Path

from shared.ids import random_secret_bytes

KEY_BYTES = 32


def load_key(configured: str | None, path: Path, what: str) -> bytes:
    """The 32 bytes of the configured key (base64), else of the file at `path` (mode 0600).

    `what` names the key in the `ValueError` for one that is malformed.
    """
    text = configured if configured is not None else _file_key(path)
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(f"the key for {what} must be {KEY_BYTES} bytes in base64")
    return key


def _file_key(path: Path) -> str:
    """Reads the file, or makes it so that of several processes at once exactly one wins."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}.{random_secret_bytes(4).hex()}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(base64.b64encode(random_secret_bytes(KEY_BYTES)))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)
        except FileExistsError:
            fresh.unlink()
            return path.read_text("ascii")
        fresh.unlink()
    return path.read_text("ascii")
