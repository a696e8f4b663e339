"""The context of a call as ours: as far as it says something, and never a reason to refuse."""

from typing import Any

from services.ingest.domain.segment.calls import Call
from services.ingest.domain.segment.values import Object, soft_text

_NAME_CHARS_MAX = 200
_LINE_CHARS_MAX = 1_000


def context_of(call: Call) -> Object:
    """Our context; empty when nothing of it is known."""
    given = call.context
    channel = call.fields.values.get("channel") or given.get("channel")
    told = {
        "channel": soft_text(channel, _NAME_CHARS_MAX),
        "campaign": _first(_inside(given, "campaign"), "name", "source"),
        "device": _device(given),
        "locale": soft_text(given.get("locale"), _NAME_CHARS_MAX),
        "page": page_of(call),
        "ip": soft_text(given.get("ip"), _NAME_CHARS_MAX),
    }
    return {name: value for name, value in told.items() if value is not None}


def page_of(call: Call) -> str | None:
    """Where the call was made: the page's address, else its path."""
    return _first(_inside(call.context, "page"), "url", "path")


def _device(given: Object) -> str | None:
    device = _inside(given, "device")
    model = " ".join(
        part
        for name in ("manufacturer", "model")
        if (part := soft_text(device.get(name), _NAME_CHARS_MAX))
    )
    return model or _first(device, "name", "type") or _first(given, "userAgent")


def _inside(given: Object, name: str) -> Object:
    value: Any = given.get(name)
    return value if isinstance(value, dict) else {}


def _first(given: Object, *names: str) -> str | None:
    for name in names:
        text = soft_text(given.get(name), _LINE_CHARS_MAX)
        if text is not None:
            return text
    return None
