"""One call as one event of ours, in the form that is posted at `POST /v1/events`."""

from typing import Any, NamedTuple

from services.ingest.domain.flaws import Flaw
from services.ingest.domain.segment import naming, traits
from services.ingest.domain.segment.calls import Call, Draft, Request, id_of, read_call
from services.ingest.domain.segment.catalogue import CUSTOM, known
from services.ingest.domain.segment.context import context_of, page_of
from services.ingest.domain.segment.values import Object, flattened

_NAME_CHARS_MAX = 200
_LINE_CHARS_MAX = 1_000
_ENVELOPE = {
    "id": "messageId",
    "customer_id": "userId",
    "anonymous_id": "anonymousId",
    "type": "event",
    "context": "context",
}
_ITEM = {"sku": "product_id", "unit_price": "price"}


class Mapped(NamedTuple):
    """An event of ours, as a JSON value whose numbers with a fraction may be `Decimal`, and where
    its parts come from."""

    event: Object
    origins: dict[str, str]
    below: str

    def origin_of(self, path: str) -> str:
        """The path in the call of a path in the event."""
        inner = path.removeprefix("data.")
        if inner == path:
            return self.below if path == "data" else self.origins.get(path, path)
        parts = inner.split(".")
        for size in range(len(parts), 0, -1):
            origin = self.origins.get("data." + ".".join(parts[:size]))
            if origin is not None:
                rest = [_ITEM.get(part, part) for part in parts[size:]]
                return ".".join(part for part in (self.below, origin, *rest) if part)
        return f"{self.below}.{inner}"


class Misread(NamedTuple):
    """A call that stands for no event; `type` is what it would have been, as far as is known."""

    flaws: list[Flaw]
    id: str | None
    type: str | None


def map_call(value: Any, request: Request, currency: str) -> Mapped | Misread:
    """The event of a call, or what is wrong with it; paths are within the call.

    `currency` is taken for money that comes without one; empty when there is none to take.
    """
    if not isinstance(value, dict):
        return Misread([Flaw("", "a call is an object", "not_an_object")], None, None)
    call = read_call(value, request)
    if isinstance(call, Flaw):
        return Misread([call], id_of(value), None)
    draft = _draft(call, currency)
    if call.customer_id is None and call.anonymous_id is None and not call.flaws:
        message = "userId or anonymousId is needed"
        call.fields.flaw("userId", message, "missing_id")
    occurred_at = _time(call)
    if call.flaws or draft is None:
        return Misread(call.flaws, call.id, draft.type if draft else call.kind)
    event: Object = {"type": draft.type, "data": draft.data, "context": context_of(call)}
    named = {"id": call.id, "customer_id": call.customer_id, "anonymous_id": call.anonymous_id}
    event |= {name: told for name, told in named.items() if told is not None}
    if not event["context"]:
        del event["context"]
    origins = _ENVELOPE | {f"data.{path}": origin for path, origin in draft.origins.items()}
    if occurred_at is not None:
        origins["occurred_at"], event["occurred_at"] = occurred_at
    if call.kind == "alias":
        origins["anonymous_id"] = "previousId"
    return Mapped(event, origins, call.properties.path)


def _draft(call: Call, currency: str) -> Draft | None:
    match call.kind:
        case "track":
            return _tracked(call, currency)
        case "identify":
            return traits.identified(call)
        case "group":
            return traits.grouped(call)
        case "alias":
            return _aliased(call)
        case "page" | "screen":
            return _viewed(call)


def _tracked(call: Call, currency: str) -> Draft | None:
    name = call.fields.required("event", call.fields.id("event"))
    if not name:
        return None
    found = known(name)
    if found is not None and found.build is not None:
        draft = found.build(call, currency)
        if draft is not None:
            return draft
    kind = CUSTOM + naming.safe(found.name if found is not None else name)
    return Draft(kind, _free(call))


def _free(call: Call) -> Object:
    """Free properties; a list of products is kept as the list of their names."""
    fields = call.properties
    products = fields.values.get("products")
    if isinstance(products, list):
        names = [
            one.get("sku") or one.get("product_id") or one.get("id")
            for one in products
            if isinstance(one, dict)
        ]
        told = [name for name in names if isinstance(name, str | int) and name]
        fields.values = fields.values | {"products": told}
    return flattened(fields)


def _viewed(call: Call) -> Draft:
    fields = call.properties
    name = call.fields.text(_LINE_CHARS_MAX, "name")
    url = fields.text(_LINE_CHARS_MAX, "url")
    if url is None and call.kind == "page":
        url = page_of(call) or fields.text(_LINE_CHARS_MAX, "path")
    category = call.fields.text(_NAME_CHARS_MAX, "category")
    data = {
        "url": url or name,
        "category": category or fields.text(_NAME_CHARS_MAX, "category"),
        "sku": fields.text(_NAME_CHARS_MAX, "sku", "product_id"),
    }
    return Draft("page.viewed", {key: value for key, value in data.items() if value is not None})


def _aliased(call: Call) -> Draft:
    """An event that names both ids links them; it says nothing else."""
    previous = call.fields.required("previousId", call.fields.id("previousId"))
    call.fields.required("userId", call.customer_id)
    call.anonymous_id = previous
    return Draft(traits.CUSTOMER_UPDATED, {})


def _time(call: Call) -> tuple[str, str] | None:
    """When it happened, and the field that says so; what it says is judged with the event."""
    found = call.fields.found("timestamp", "originalTimestamp")
    if found is None:
        return None
    if not isinstance(found[1], str):
        message = "must be a time in ISO 8601 with an offset, such as 2026-03-02T12:00:00Z"
        call.fields.flaw(found[0], message, "invalid_time")
        return None
    return found[0], found[1]
