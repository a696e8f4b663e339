"""Checks addresses, numbers and time zones when they are written, so that senders can rely on them.

The only file that knows email-validator and phonenumbers. Nothing is looked up in the network.
"""

from typing import Any

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from services.campaigns.domain.policy import zone_problem

_EMAIL_CHARACTERS_MAX = 254


def checked(trait: str, value: Any) -> tuple[Any, str | None]:
    """(the value in its normal form, None), or (the value as given, what is wrong with it)."""
    if value in {None, ""} or not isinstance(value, str):
        return value, None
    if trait == "email":
        return _email(value)
    if trait == "phone":
        return _phone(value)
    if trait == "timezone":
        return value, zone_problem(value)
    return value, None


def _email(value: str) -> tuple[str, str | None]:
    if len(value) > _EMAIL_CHARACTERS_MAX:
        return value, "longer than an e-mail address can be"
    try:
        # Names reserved for tests (RFC 2606) are addresses too; mail to them simply bounces.
        found = validate_email(
            value, allow_smtputf8=False, check_deliverability=False, test_environment=True
        )
    except EmailNotValidError:
        return value, "not an e-mail address"
    return found.ascii_email or found.normalized, None


def _phone(value: str) -> tuple[str, str | None]:
    """E.164; without a country's prefix nobody can tell where to call."""
    try:
        number = phonenumbers.parse(value, None)
    except phonenumbers.NumberParseException:
        return value, "not a phone number with its country's prefix"
    if not phonenumbers.is_possible_number(number):
        return value, "not a possible phone number"
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164), None
