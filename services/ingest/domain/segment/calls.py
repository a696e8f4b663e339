"""What a call is: one of six kinds, whose, when, and with which properties.

A request holds one call, or several as `batch`; what stands beside them holds for each.
Source: Segment's HTTP tracking API and RudderStack's, which is the same.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, get_args

from pydantic import ValidationError

from services.ingest.domain.flaws import Flaw
from services.ingest.domain.intake import SENT_AT
from services.ingest.domain.segment.values import Fields, Object
from services.ingest.domain.verdict import Unreadable

Kind = Literal["identify", "track", "page", "screen", "group", "alias"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# A request may hold thousands of calls, so what we do not read is not carried along.
_CONTEXT = (
    "channel",
    "campaign",
    "device",
    "locale",
    "page",
    "ip",
    "timezone",
    "traits",
    "userAgent",
)
_KIND_OF: dict[str, Kind] = {kind: kind for kind in KINDS}


@dataclass(slots=True)
class Call:
    """One call. `properties` are the traits of an identify or group call; `flaws` collects what is
    wrong with it while it is read."""

    kind: Kind
    fields: Fields
    context: Object
    properties: Fields
    customer_id: str | None
    anonymous_id: str | None
    id: str | None
    flaws: list[Flaw]


@dataclass(frozen=True, slots=True)
class Draft:
    """The event that a call stands for. `origins` lead from paths within `data` to those within the
    call, so that what is wrong is told in the words of who sent it."""

    type: str
    data: Object
    origins: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """The calls of a body as they were sent, the context that holds for all of them, the write key
    that the body, or else its first call that has one, names, and when the body says it was sent:
    what a call of a batch says of that is of an earlier sending, such as an archive's."""

    calls: Sequence[Any]
    context: Object
    kind: Kind | None
    write_key: str | None
    sent_at: datetime | None = None

    @property
    def is_batch(self) -> bool:
        return self.kind is None

    def path_of(self, index: int) -> str:
        """The path of a call from the top of the body."""
        return f"batch.{index}" if self.is_batch else ""


def read_request(body: bytes, kind: Kind | None) -> Request:
    """Takes a body apart; `kind` is that of its single call, or None for a batch.

    Raises `Unreadable` (400).
    """
    document = _decoded(body)
    if not isinstance(document, dict):
        raise Unreadable(400, "the body must be an object")
    if kind is not None:
        return Request([document], {}, kind, _write_key(document), _sent_at(document))
    calls = document.get("batch")
    if not isinstance(calls, list):
        raise Unreadable(400, "batch must be a list of calls")
    # Who somebody is differs from call to call, so traits beside a batch are nobody's.
    beside = {name: value for name, value in _context(document).items() if name != "traits"}
    key = _write_key(document) or next((key for one in calls if (key := _write_key(one))), None)
    return Request(calls, beside, None, key, _sent_at(document))


def read_call(value: Object, request: Request) -> Call | Flaw:
    """One call of a request, read as far as all kinds are alike."""
    kind = request.kind or kind_of(value.get("type"))
    if kind is None:
        return Flaw("type", f"must be one of {', '.join(KINDS)}", "unknown_type")
    flaws: list[Flaw] = []
    fields = Fields(value, "", flaws)
    name = "traits" if kind in ("identify", "group") else "properties"
    return Call(
        kind=kind,
        fields=fields,
        context=request.context | _context(value),
        properties=Fields(_inner(fields, name), name, flaws),
        customer_id=fields.id("userId"),
        anonymous_id=fields.id("anonymousId"),
        id=fields.id("messageId"),
        flaws=flaws,
    )


def _write_key(value: Any) -> str | None:
    key = value.get("writeKey") if isinstance(value, dict) else None
    return key if isinstance(key, str) and key else None


def _sent_at(document: Object) -> datetime | None:
    """When it was sent; what cannot be read corrects nothing."""
    try:
        return SENT_AT.validate_python(document.get("sentAt"))
    except ValidationError:
        return None


def id_of(value: Object) -> str | None:
    """The `messageId` of a call that is told to its sender though it cannot be read."""
    return Fields(value, "", []).id("messageId")


def whole_call(value: Object, kind: Kind | None, context: Object) -> Object:
    """A call with what only its path (`kind`) and its batch (`context`) told, so that it can be
    posted alone as the same call."""
    told: Object = {} if kind is None else {"type": kind}
    if context:
        own = value.get("context")
        told["context"] = context | own if isinstance(own, dict) else context
    return value | told


def kind_of(name: Any) -> Kind | None:
    """The kind of a call that says `type`; None for what is none."""
    return _KIND_OF.get(name.lower()) if isinstance(name, str) else None


def _context(values: Object) -> Object:
    """What we read of a context; of another type it is as good as absent."""
    value = values.get("context")
    if not isinstance(value, dict):
        return {}
    return {name: value[name] for name in _CONTEXT if name in value}


def _inner(fields: Fields, name: str) -> Object:
    found = fields.found(name)
    if found is None:
        return {}
    if not isinstance(found[1], dict):
        fields.flaw(name, "must be an object", "invalid_value")
        return {}
    return found[1]


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8-sig"), parse_float=_number)
    except UnicodeDecodeError:
        raise Unreadable(400, "the body is not UTF-8") from None
    except RecursionError:
        raise Unreadable(400, "the body is nested too deeply to be read") from None
    except json.JSONDecodeError as error:
        raise Unreadable(400, f"the body is not JSON: {error}") from None
    except ValueError:
        raise Unreadable(400, "the body holds a number with too many digits") from None


def _number(text: str) -> Decimal | float:
    """Every digit as it was sent: a double would keep seventeen."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return float(text)  # beyond even a Decimal's exponent, hence infinite or zero
