"""Verified traits as who-is-who evidence: normalised, then known by a keyed digest alone.

A digest is a keyed BLAKE2b (RFC 7693): without the key nobody can try all telephone numbers
against it. Addresses are compared as people type them, apart from case, width and blanks; no
provider's own rules (dots, plus signs) are guessed. A number without its country names nobody.
"""

import hashlib
import re
import unicodedata
from typing import Literal, NamedTuple, TypeAlias

from shared.events.engagement import CustomerUpdatedData

TraitKind: TypeAlias = Literal["email", "phone"]
SECRET_BYTES = 32
_DIGEST_BYTES = 16
_MARKED = b"the key of verified traits"  # no trait is told so: a kind comes first
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+").fullmatch
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}").fullmatch
_BETWEEN_DIGITS = re.compile(r"[\s().\-/]")


class Trait(NamedTuple):
    """What a customer has, by its digest."""

    kind: TraitKind
    digest: bytes


def traits_of(data: CustomerUpdatedData, kinds: frozenset[TraitKind], secret: bytes) -> list[Trait]:
    """The traits among `kinds` that can tell a person."""
    found: list[Trait] = []
    if "email" in kinds and data.email is not None and (email := normal_email(data.email)):
        found.append(Trait("email", digest_of("email", email, secret)))
    if "phone" in kinds and data.phone is not None and (phone := normal_phone(data.phone)):
        found.append(Trait("phone", digest_of("phone", phone, secret)))
    return found


def mark_of(secret: bytes) -> bytes:
    """16 bytes by which a key is recognised without being kept."""
    return hashlib.blake2b(_MARKED, digest_size=_DIGEST_BYTES, key=secret).digest()


def normal_email(text: str) -> str | None:
    """An address in one spelling; None for what is none."""
    folded = unicodedata.normalize("NFKC", text).strip().lower()
    return folded if _EMAIL(folded) else None


def normal_phone(text: str) -> str | None:
    """`+` and the digits of E.164; None for what is none, or has no country."""
    digits = _BETWEEN_DIGITS.sub("", unicodedata.normalize("NFKC", text))
    if digits.startswith("00"):
        digits = f"+{digits[2:]}"
    return digits if _PHONE(digits) else None


def digest_of(kind: TraitKind, normal: str, secret: bytes) -> bytes:
    """16 bytes that stand for a trait of this kind under this key."""
    told = f"{kind}\x1f{normal}".encode()
    return hashlib.blake2b(told, digest_size=_DIGEST_BYTES, key=secret).digest()
