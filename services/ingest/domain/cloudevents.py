"""CloudEvents 1.0 at the door, over HTTP: one as JSON, a batch, or attributes in headers.

Each becomes an event of ours and is judged as one:

    id → id            type → type        subject → customer_id    anonymousid → anonymous_id
    time → occurred_at data → data        source  → recorded below the source of the key

Other attributes are passed over. What is wrong is told at the place where the sender wrote it.
Source: CloudEvents 1.0.2, its JSON format and its HTTP binding.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote_to_bytes

from services.ingest.domain.flaws import Flaw
from services.ingest.domain.verdict import (
    Accepted,
    Limits,
    Rejected,
    Unreadable,
    Verdicts,
    bounded,
    decoded,
    judge,
    shown,
)

Mode = Literal["structured", "batch", "binary"]
_SOURCE_CHARS_MAX = 200
_MODES: Mapping[bytes, Mode] = {
    b"application/cloudevents+json": "structured",
    b"application/cloudevents-batch+json": "batch",
}
_HEADER = "ce-"
_MARKS = (b"ce-specversion", b"ce-type", b"ce-id")
_OURS = {
    "id": "id",
    "type": "type",
    "subject": "customer_id",
    "anonymousid": "anonymous_id",
    "time": "occurred_at",
    "data": "data",
}
_THEIRS = {ours: theirs for theirs, ours in _OURS.items()}
_READ = (*(name for name in _OURS if name != "data"), "specversion", "source", "datacontenttype")
_JSON = re.compile(r"\s*(application/json|[\w.+-]+/[\w.+-]+\+json)\s*(;.*)?", re.IGNORECASE)
_ESCAPED = re.compile(rb"\\(.)")
_ILL = object()
_ABOUT_DATA = frozenset({"data_base64", "datacontenttype"})


def source_room(own: str) -> int:
    """How many characters a source may have that is recorded below a key's `own`."""
    return _SOURCE_CHARS_MAX - len(own) - 1


def mode_of(media_type: bytes, headers: Mapping[bytes, bytes]) -> Mode | None:
    """How a request carries CloudEvents; None when it carries none that can be read.

    `media_type` is that of the body, in lower case and without parameters, or empty.
    """
    if media_type in (b"", b"application/json") or media_type.endswith(b"+json"):
        named = _MODES.get(media_type)
        if named is not None:
            return named
        return "binary" if any(mark in headers for mark in _MARKS) else None
    return None


def judge_cloudevents(
    mode: Mode,
    headers: Mapping[bytes, bytes],
    body: bytes,
    limits: Limits,
    now: datetime,
    new_id: Callable[[], str],
    *,
    source_chars_max: int,
) -> Verdicts:
    """Judges the CloudEvents of a request, as `judge` does events of ours.

    Raises `Unreadable` (400, 413, 422). An empty batch is a batch.
    """
    sent = list(_sent(mode, headers, body, limits))
    if not sent:
        return Verdicts([], [])
    flaws = [list(_flaws(one, source_chars_max)) for one in sent]
    verdicts = judge(_as_ours(sent), limits, now, new_id)
    wrong = {one.place: one for one in verdicts.rejected}
    accepted = [one for one in verdicts.accepted if not flaws[one.place]]
    rejected = [
        _rejected(place, one, flaws[place], wrong.get(place))
        for place, one in enumerate(sent)
        if flaws[place] or place in wrong
    ]
    return Verdicts(accepted, rejected, sources=[_source_of(sent, one) for one in accepted])


class _Sent(NamedTuple):
    """One CloudEvent as it came: where its attributes and its data stand in the request, and what
    could not be read of it."""

    attributes: Mapping[str, Any]
    text: str
    prefix: str
    flaws: Sequence[Flaw] = ()
    is_object: bool = True


def _sent(
    mode: Mode, headers: Mapping[bytes, bytes], body: bytes, limits: Limits
) -> Iterator[_Sent]:
    if mode == "binary":
        yield _of_headers(headers, body)
        return
    document = decoded(body)
    if mode == "structured":
        if not isinstance(document, dict):
            raise Unreadable(422, "the body must be a CloudEvent, a JSON object")
        yield _of_value(document, "")
        return
    if not isinstance(document, list):
        raise Unreadable(422, "the body must be a list of CloudEvents")
    bounded(len(document), limits)
    for place, value in enumerate(document):
        yield _of_value(value, str(place))


def _of_value(value: Any, prefix: str) -> _Sent:
    """A CloudEvent in JSON; an attribute that is null is absent."""
    text = shown(value)
    if not isinstance(value, dict):
        flaw = Flaw("", "a CloudEvent is an object", "not_an_object")
        return _Sent({}, text, prefix, [flaw], is_object=False)
    attributes = {name: one for name, one in value.items() if one is not None}
    if "data_base64" not in attributes:
        return _Sent(attributes, text, prefix)
    if "data" in attributes:
        flaw = Flaw("data_base64", "cannot stand beside data", "invalid_value")
        return _Sent(attributes, text, prefix, [flaw])
    data = _unpacked(attributes["data_base64"])
    if data is _ILL:
        flaw = Flaw("data_base64", "must be JSON in Base64", "invalid_value")
        return _Sent(attributes, text, prefix, [flaw])
    return _Sent({**attributes, "data": data}, text, prefix)


def _unpacked(text: Any) -> Any:
    try:
        return json.loads(base64.b64decode(text, validate=True))
    except (ValueError, TypeError, RecursionError):
        return _ILL


def _of_headers(headers: Mapping[bytes, bytes], body: bytes) -> _Sent:
    """A CloudEvent whose attributes are headers and whose data is the body."""
    attributes: dict[str, Any] = {}
    flaws: list[Flaw] = []
    for name in _READ:
        value = headers.get(f"{_HEADER}{name}".encode())
        if value is None:
            continue
        try:
            attributes[name] = header_text(value)
        except UnicodeDecodeError:
            message = "a header's value is percent-encoded UTF-8"
            flaws.append(Flaw(name, message, "invalid_text"))
    if "datacontenttype" in attributes:
        message = "the type of the data is told by content-type, not by a header of its own"
        flaws.append(Flaw("datacontenttype", message, "unknown_field"))
        del attributes["datacontenttype"]
    if body:
        attributes["data"] = decoded(body)
    return _Sent(attributes, shown(attributes), _HEADER, flaws)


def header_text(value: bytes) -> str:
    """The text that a header's value stands for: unquoted, then percent-decoded once.

    Raises `UnicodeDecodeError` for what is not UTF-8.
    """
    value = value.strip()
    if len(value) > 1 and value.startswith(b'"') and value.endswith(b'"'):
        value = _ESCAPED.sub(rb"\1", value[1:-1])
    return unquote_to_bytes(value).decode()


def _flaws(sent: _Sent, source_chars_max: int) -> Iterator[Flaw]:
    """What is wrong with a CloudEvent as such."""
    yield from sent.flaws
    if sent.is_object:
        unread = {flaw.path for flaw in sent.flaws}
        found = _attribute_flaws(sent.attributes, source_chars_max)
        yield from (flaw for flaw in found if flaw.path not in unread)


def _attribute_flaws(attributes: Mapping[str, Any], source_chars_max: int) -> Iterator[Flaw]:
    version, source = attributes.get("specversion"), attributes.get("source")
    if version is None:
        yield _missing("specversion")
    elif version != "1.0":
        yield Flaw("specversion", "must be 1.0", "invalid_value")
    if "id" not in attributes:
        yield _missing("id")
    if source is None:
        yield _missing("source")
    elif not isinstance(source, str) or not source or not _is_reference(source):
        yield Flaw("source", "must be a URI-reference, a text without blanks", "invalid_value")
    elif len(source) > source_chars_max:
        yield Flaw("source", f"has at most {source_chars_max} characters", "invalid_value")
    kind = attributes.get("datacontenttype")
    if kind is not None and not (isinstance(kind, str) and _JSON.fullmatch(kind)):
        yield Flaw("datacontenttype", "must be application/json: data is JSON", "invalid_value")


def _missing(name: str) -> Flaw:
    return Flaw(name, "required", "missing_field")


def _is_reference(source: str) -> bool:
    return source.isprintable() and not any(one.isspace() for one in source)


def _as_ours(sent: Sequence[_Sent]) -> bytes:
    events = [
        {ours: one.attributes[theirs] for theirs, ours in _OURS.items() if theirs in one.attributes}
        for one in sent
    ]
    try:
        return json.dumps({"events": events}, separators=(",", ":")).encode()
    except RecursionError:
        raise Unreadable(400, "the body is nested too deeply to be read") from None


def _source_of(sent: Sequence[_Sent], one: Accepted) -> str:
    return str(sent[one.place].attributes["source"])


def _rejected(place: int, sent: _Sent, flaws: Sequence[Flaw], ours: Rejected | None) -> Rejected:
    """All that is wrong with one, told in the sender's words; `ours` is our verdict, if it is bad
    as an event of ours too."""
    errors = [{"path": _path(flaw.path, sent.prefix), "message": flaw.message} for flaw in flaws]
    reasons = [flaw.reason for flaw in flaws]
    source = _readable_source(sent, flaws)
    if ours is None:
        event_id, kind = sent.attributes.get("id"), sent.attributes.get("type")
        return Rejected(place, event_id, kind, reasons[0], errors, sent.text, source)
    if sent.is_object:
        known = {flaw.path for flaw in flaws}
        errors += _translated(ours.errors, f"events.{place}", sent.prefix, known)
    reason = reasons[0] if reasons else ours.reason
    return Rejected(place, ours.id, ours.type, reason, errors, sent.text, source)


def _readable_source(sent: _Sent, flaws: Sequence[Flaw]) -> str:
    """What else is wrong with it, an event with the same id and source is the same event."""
    readable = sent.is_object and all(flaw.path != "source" for flaw in flaws)
    return str(sent.attributes["source"]) if readable else ""


def _translated(
    errors: Sequence[Mapping[str, str]], top: str, prefix: str, known: frozenset[str] | set[str]
) -> Iterator[dict[str, str]]:
    """Errors of an event of ours, at the sender's places; without what follows from `known`."""
    for error in errors:
        name, dot, rest = error["path"].removeprefix(top).removeprefix(".").partition(".")
        theirs = _THEIRS.get(name, name)
        if theirs in known or (theirs == "data" and known & _ABOUT_DATA):
            continue
        message = error["message"]
        for our_name in ("customer_id", "anonymous_id"):
            message = message.replace(our_name, _THEIRS[our_name])
        yield {"path": _path(f"{theirs}{dot}{rest}", prefix), "message": message}


def _path(path: str, prefix: str) -> str:
    if prefix == _HEADER:
        return path if path.partition(".")[0] in ("", "data") else f"{_HEADER}{path}"
    return f"{prefix}.{path}" if prefix and path else prefix or path
