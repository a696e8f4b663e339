"""The door's quick look: what is spelled in the plainest way passes without a model being made.

The screen is derived from the door's models and is stricter than they are: amounts are decimal
texts, times are UTC, nothing is null. It makes dictionaries instead of objects, all in pydantic's
own core, at a sixth of the cost. What does not pass is not wrong: it is looked at in full. What
passes is the very line that the full look would have written, byte for byte.
"""

import types
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, NamedTuple, NotRequired, Union, get_args, get_origin

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import core_schema
from typing_extensions import TypedDict

from services.ingest.domain.intake import MODEL_OF
from shared.events.engagement import CustomEvent

Fields = dict[str, Any]
"""What an event says, by the names of the door's models."""

_NULL = type(None)
_PLAIN_INTEGER = Annotated[int, Field(ge=-(2**63), lt=2**63)]
# So bounded that no integer beyond the bounds above can pass as a float.
_PLAIN_FLOAT = Annotated[float, Field(gt=-(2**63), lt=2**63)]
_PLAIN_AMOUNT = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,11})(\.[0-9]{1,6})?$")]
_BOUNDED: dict[Any, Any] = {int: _PLAIN_INTEGER, float: _PLAIN_FLOAT}


class _PlainInstant:
    """A time in UTC and of these centuries, in the two usual spellings of both."""

    _PATTERN = r"^(19|20|21)[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}(Z|\+00:00)$"

    @classmethod
    def __get_pydantic_core_schema__(cls, *_unused: Any) -> core_schema.CoreSchema:
        text = core_schema.str_schema(pattern=cls._PATTERN)
        instant = core_schema.datetime_schema(tz_constraint="aware")
        return core_schema.chain_schema([text, instant])


_SPELLED: dict[Any, Any] = {
    Decimal: _PLAIN_AMOUNT,
    datetime: _PlainInstant,
    AwareDatetime: _PlainInstant,
}


class Plain(NamedTuple):
    """The events of a request, and when its sender says that it was sent."""

    events: Sequence[Fields]
    sent_at: datetime | None = None


def plain_events(body: bytes, *, is_batch: bool) -> Plain | None:
    """The events of a request when all of them pass, else None.

    `is_batch` tells whether the body is `{"events": […]}` or one event by itself.
    """
    try:
        if is_batch:
            whole = _BATCH.validate_json(body)
            return Plain(whole["events"], whole.get("sent_at"))
        return Plain([_ONE.validate_json(body)])
    except ValidationError:
        return None


def line_of(fields: Fields) -> bytes:
    """An event that passed, as the full look would have written it."""
    return orjson.dumps(fields, option=orjson.OPT_UTC_Z)


def _dictionary_of(model: type[BaseModel]) -> Any:
    """A TypedDict with the fields of a model, in their order, each in its plain spelling."""
    decorators = model.__pydantic_decorators__
    if decorators.field_validators or decorators.model_validators:
        raise TypeError(f"{model.__name__} has validators of its own, which no dictionary can run")
    hints: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        plain = _plain(field.annotation, field.metadata)
        hints[name] = plain if field.is_required() else NotRequired[plain]
    make: Any = TypedDict
    made = make(f"Plain{model.__name__}", hints)
    made.__pydantic_config__ = ConfigDict(extra="forbid")
    return made


def _plain(annotation: Any, metadata: Sequence[Any] = ()) -> Any:
    """The plain spelling of a type: at most what the type itself would take."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _plain(inner[0], [*inner[1:], *metadata])
    if annotation in _SPELLED:
        return _SPELLED[annotation]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _dictionary_of(annotation)
    if origin in (Union, types.UnionType):
        kinds = [_plain(one) for one in inner if one is not _NULL]
        # What guards the spelling of a time elsewhere has nothing to say to the plain one.
        kept = () if kinds == [_PlainInstant] else metadata
        return _with(Union[tuple(kinds)], kept)  # noqa: UP007 — of a computed tuple
    return _with(_plain_parts(annotation, origin, inner), metadata)


def _plain_parts(annotation: Any, origin: Any, inner: Sequence[Any]) -> Any:
    if origin is tuple:
        return list[_plain(inner[0])]  # type: ignore[misc]
    if origin in (dict, list):
        return origin[tuple(_plain(one) for one in inner)]
    return _BOUNDED.get(annotation, annotation)


def _with(annotation: Any, metadata: Sequence[Any]) -> Any:
    return Annotated[(annotation, *metadata)] if metadata else annotation


_NAMED: Any = Union[  # noqa: UP007 — of a computed tuple
    tuple(_dictionary_of(model) for kind, model in MODEL_OF.items() if kind is not CustomEvent)
]
_PlainEvent: Any = Annotated[
    Annotated[_NAMED, Field(discriminator="type")] | _dictionary_of(MODEL_OF[CustomEvent]),
    Field(union_mode="left_to_right"),
]
_ONE: TypeAdapter[Fields] = TypeAdapter(_PlainEvent)


class _Batch(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    events: Annotated[list[_PlainEvent], Field(min_length=1)]
    sent_at: NotRequired[_PlainInstant]


_BATCH: TypeAdapter[Any] = TypeAdapter(_Batch)
