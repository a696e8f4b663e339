"""Between rows and domain values, for tables wide enough that columns would not be read anyway."""

import json
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias, TypeVar

import asyncpg

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
T = TypeVar("T")


def as_json(values: Sequence[Any]) -> str:
    """A JSON array of dataclass instances, for `jsonb_populate_recordset`."""
    return json.dumps(
        [{one.name: getattr(value, one.name) for one in fields(value)} for value in values],
        default=_plain,
    )


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def value_of(kind: type[T], row: asyncpg.Record) -> T:
    """A dataclass instance of a row that has its columns; JSON columns arrive as values."""
    return kind(**{one.name: row[one.name] for one in fields(kind)})  # type: ignore[arg-type]
