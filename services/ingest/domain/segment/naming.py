"""Names of events: understood whatever their case and separators, and made safe for our types."""

import hashlib
import re
import unicodedata

_CHARS_MAX = 80
_DIGEST_CHARS = 12
# Between a small letter or digit and a capital, and before the last capital of an acronym.
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_OTHER = re.compile(r"[^a-z0-9]+")


def plain(name: str) -> str:
    """A name without case and separators: `Order Completed` and `order_completed` are one."""
    return "".join(char for char in name.casefold() if char.isalnum())


def safe(name: str) -> str:
    """The part behind `custom.`: words of small letters and digits, joined by underscores.

    What would lose by it (other scripts, more than 80 characters) ends with a digest of the name,
    so that two names stay two.
    """
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    words = _OTHER.sub("_", _HUMP.sub("_", ascii_name).lower()).strip("_")
    if words and len(words) <= _CHARS_MAX and not _lost_letters(name):
        return words
    digest = hashlib.blake2b(
        name.encode(errors="surrogatepass"), digest_size=_DIGEST_CHARS // 2
    ).hexdigest()
    beginning = words[: _CHARS_MAX - _DIGEST_CHARS - 1].strip("_") or "event"
    return f"{beginning}_{digest}"


def _lost_letters(name: str) -> bool:
    """Whether letters of the name have no counterpart in ASCII; accents may go."""
    decomposed = unicodedata.normalize("NFKD", name)
    return any(char.isalnum() and not char.isascii() for char in decomposed)
