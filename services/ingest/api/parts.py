"""What several routes about people share: ids in paths, and how reasons are told."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import Path

from services.ingest.domain.identity import BY_EVENT
from services.ingest.domain.naming import ID_CHARS_MAX
from services.ingest.handlers.joining import BY_TRAIT
from services.ingest.handlers.merging import BY_ALIAS
from services.ingest.store.merges import Through

# PostgreSQL's text cannot hold NUL.
CustomerInPath = Annotated[str, Path(min_length=1, max_length=ID_CHARS_MAX, pattern=r"^[^\x00]*$")]
REASONS: Mapping[Through, str] = {
    "event": BY_EVENT,
    "alias": BY_ALIAS,
    "email": BY_TRAIT["email"],
    "phone": BY_TRAIT["phone"],
}
