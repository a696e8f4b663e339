"""Traits as ours: those we know under any usual spelling, all others as free ones.

A known trait whose value does not fit is kept as a free one: it tells something, and refusing it
would lose its neighbours.
"""

from collections.abc import Callable, Container
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from services.ingest.domain.segment import naming
from services.ingest.domain.segment.calls import Call, Draft
from services.ingest.domain.segment.values import (
    Fields,
    Object,
    amount_of,
    flattened,
    is_unkeepable,
    soft_text,
    spelled,
)

CUSTOMER_UPDATED = "customer.updated"
_NAME_CHARS_MAX = 200
_LINE_CHARS_MAX = 1_000
_DAY_CHARS = len("2026-03-02")
_EARLIEST_YEAR = 1970
# Seconds of the year 5138: what is larger counts milliseconds.
_SECONDS_MAX = 10**11
_CHANNELS = frozenset({"email", "sms", "push", "in_app", "webhook", "phone"})


def _name(value: Any) -> str | None:
    return _kept(soft_text(value, _NAME_CHARS_MAX + 1), _NAME_CHARS_MAX)


def _line(value: Any) -> str | None:
    return _kept(soft_text(value, _LINE_CHARS_MAX + 1), _LINE_CHARS_MAX)


def _kept(text: str | None, chars_max: int) -> str | None:
    """A text that is kept whole or not at all."""
    return text if text is not None and len(text) <= chars_max else None


def _day(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        return date.fromisoformat(value[:_DAY_CHARS]).isoformat()
    except ValueError:
        return None


def _instant(value: Any) -> str | None:
    """ISO 8601, or seconds or milliseconds since 1970; a day is its beginning in UTC."""
    try:
        instant = _read_instant(value)
    except (ValueError, OverflowError, OSError):
        return None
    if instant is None or instant.year < _EARLIEST_YEAR:
        return None
    return instant.isoformat().replace("+00:00", "Z")


def _read_instant(value: Any) -> datetime | None:
    if isinstance(value, str):
        read = datetime.fromisoformat(value.strip())
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    seconds = None if isinstance(value, str) else amount_of(value)
    if seconds is None:
        return None
    return datetime.fromtimestamp(
        float(seconds if seconds < _SECONDS_MAX else seconds / 1_000), UTC
    )


def _amount(value: Any) -> str | None:
    amount = amount_of(value)
    return spelled(amount) if amount is not None and amount >= 0 else None


def _consent(value: Any) -> Object | None:
    """Channel by purpose, as ours; anything else is no consent."""
    if not isinstance(value, dict) or not value or not value.keys() <= _CHANNELS:
        return None
    kept = all(
        isinstance(purposes, dict)
        and all(_name(purpose) == purpose for purpose in purposes)
        and all(isinstance(given, bool) for given in purposes.values())
        for purposes in value.values()
    )
    return value if kept else None


class _Trait(NamedTuple):
    field: str
    fit: Callable[[Any], Any]


_KNOWN: dict[str, _Trait] = {
    naming.plain(spelling): _Trait(field, fit)
    for field, fit, spellings in (
        ("email", _line, ("email",)),
        ("phone", _name, ("phone",)),
        ("name", _line, ("name",)),
        ("birthday", _day, ("birthday",)),
        ("timezone", _name, ("timezone",)),
        ("locale", _name, ("locale",)),
        ("country", _name, ("country",)),
        ("industry", _line, ("industry",)),
        ("company", _line, ("company",)),
        ("account_manager", _line, ("account_manager",)),
        ("acquired_at", _instant, ("acquired_at", "createdAt")),
        ("acquisition_channel", _name, ("acquisition_channel",)),
        ("acquisition_cost", _amount, ("acquisition_cost",)),
        ("annual_revenue", _amount, ("annual_revenue",)),
        ("consent", _consent, ("consent",)),
    )
    for spelling in spellings
}
_FIELDS = frozenset(trait.field for trait in _KNOWN.values())
# Where a trait may also stand, by the field it fills unless that is told outright.
_INSIDE = (
    ("country", ("address", "country"), _name),
    ("company", ("company", "name"), _line),
    ("industry", ("company", "industry"), _line),
)
# Of a company's traits only these say something about the customer in our fields.
_GROUP = {"name": "company", "industry": "industry", "annual_revenue": "annual_revenue"}


def identified(call: Call) -> Draft:
    """Who somebody is. Some clients send traits within `context` only."""
    within = call.context.get("traits")
    traits = (within if isinstance(within, dict) else {}) | call.properties.values
    data, free = _sorted(traits)
    for field, path, fit in _INSIDE:
        if field not in data and (told := fit(_at(traits, path))) is not None:
            data[field] = told
    if "name" not in data and (full := _full_name(traits)):
        data["name"] = full
    for field in ("timezone", "locale"):
        if field not in data and (told := _name(call.context.get(field))) is not None:
            data[field] = told
    return _draft(data, flattened(Fields(free, "traits", call.flaws)))


def grouped(call: Call) -> Draft:
    """To which company or group somebody belongs; its traits get names that begin with `group`."""
    group_id = call.fields.required("groupId", call.fields.id("groupId"))
    data, free = _sorted(call.properties.values, _GROUP)
    ours = {_GROUP[field]: value for field, value in data.items()}
    custom = flattened(Fields(free, "traits", call.flaws), "group")
    return _draft(ours, custom | {"group_id": group_id})


def _sorted(traits: Object, fields: Container[str] = _FIELDS) -> tuple[Object, Object]:
    """What fits a field of ours, by field, and the rest as it was."""
    data: Object = {}
    free: Object = {}
    for name, value in traits.items():
        trait = _KNOWN.get(naming.plain(name))
        trait = trait if trait is not None and trait.field in fields else None
        told = trait.fit(value) if trait is not None and value is not None else None
        if trait is not None and told is not None and trait.field not in data:
            data[trait.field] = told
        else:
            free[name] = value
    return data, free


def _draft(data: Object, custom: Object) -> Draft:
    origins = {"custom": "", **{field: field for field in data}}
    return Draft(CUSTOMER_UPDATED, data | ({"custom": custom} if custom else {}), origins)


def _full_name(traits: Object) -> str | None:
    parts: dict[str, str] = {}
    for name, value in traits.items():
        if isinstance(value, str) and value.strip() and not is_unkeepable(value):
            parts.setdefault(naming.plain(name), value.strip())
    return _line(" ".join(parts[part] for part in ("firstname", "lastname") if part in parts))


def _at(values: Object, path: tuple[str, ...]) -> Any:
    inner: Any = values
    for name in path:
        inner = inner.get(name) if isinstance(inner, dict) else None
    return inner
