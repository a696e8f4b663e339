"""The record of `ingest.received`: the events of one request that share a partition.

Lines of JSON: the first tells what all have in common, each further one is an event exactly as it
was admitted (or refused). Nothing needs parsing to take a bundle apart, and one line behind its
header is a bundle again, which is what a dead letter carries.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.ingest.domain.times import Correction, corrected
from services.ingest.domain.verdict import Accepted, Rejected, Verdicts
from shared.events.envelope import Instant, Name

BUNDLE_VERSION = 1
Line = TypeVar("Line", Accepted, Rejected)


class Header(BaseModel):
    """`received_at` is wall time; `default_at` is when events without a time happened.

    Where the client's clock was looked at, `added_us` (microseconds) is to be added to the times in
    the lines, and what is later than `latest_at` happened then. The lines stay as they were sent:
    what is sent again is the same, however long it took.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    bundle: int = BUNDLE_VERSION
    verdict: Literal["accepted", "rejected"]
    source: Name
    request: Name
    received_at: Instant
    default_at: Instant
    added_us: int = 0
    latest_at: Instant | None = None

    def happened_at(self, claimed: datetime | None) -> datetime:
        """When an event happened that says `claimed` itself."""
        if claimed is None:
            return self.default_at
        if self.latest_at is None:
            return claimed
        return corrected(claimed, Correction(timedelta(microseconds=self.added_us), self.latest_at))


class RefusedLine(BaseModel):
    """One refused event in a bundle of them."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    index: Annotated[int, Field(ge=0)]
    id: str | None
    type: str | None
    reason: Name
    errors: list[dict[str, str]]
    body: str


def refused_line(rejected: Rejected, body_chars_max: int) -> bytes:
    """A refused event as a line; its body is kept up to `body_chars_max` characters."""
    line = RefusedLine(
        index=rejected.place,
        id=rejected.id,
        type=rejected.type,
        reason=rejected.reason,
        errors=list(rejected.errors),
        body=rejected.body[:body_chars_max],
    )
    return line.model_dump_json().encode()


def pack(header: bytes, lines: Sequence[bytes]) -> bytes:
    """One record's value."""
    return b"\n".join((header, *lines))


def unpack(value: bytes) -> tuple[Header, bytes, list[bytes]]:
    """The header, its bytes, and the lines; `ValueError` when it is not a bundle of ours."""
    first, *lines = value.split(b"\n")
    try:
        header = Header.model_validate_json(first)
    except ValidationError:
        raise ValueError("not a bundle of events") from None
    if header.bundle > BUNDLE_VERSION:
        raise ValueError(f"a bundle of version {header.bundle} is newer than this reader")
    return header, first, lines


def by_source(own: str, verdicts: Verdicts) -> Iterator[tuple[str, Sequence[Accepted]]]:
    """(source, accepted events): all are the key's `own`, unless they name sources of theirs below
    it. What is of one source stays together as far as nobody's order changes by it."""
    if not verdicts.sources:
        yield own, verdicts.accepted
        return
    runs: list[tuple[str, list[Accepted]]] = []
    run_of_source: dict[str, int] = {}
    run_of_key: dict[str, int] = {}
    for source, one in zip(verdicts.sources, verdicts.accepted, strict=True):
        place = run_of_source.get(source)
        if place is None or place < run_of_key.get(one.key, 0):
            place = run_of_source[source] = len(runs)
            runs.append((below(own, source), []))
        runs[place][1].append(one)
        run_of_key[one.key] = place
    yield from runs


def refused_by_source(
    own: str, rejected: Sequence[Rejected]
) -> Iterator[tuple[str, Sequence[Rejected]]]:
    """(source, refused events), named as `by_source` names those of accepted ones."""
    several: dict[str, list[Rejected]] = {}
    for one in rejected:
        several.setdefault(one.source, []).append(one)
    for source, found in several.items():
        yield below(own, source) if source else own, found


def below(own: str, source: str) -> str:
    """A source that events of a key name themselves, as it is recorded."""
    return f"{own}/{source}"


def group(
    accepted: Sequence[Accepted], partition_of: Callable[[bytes], int], bytes_max: int
) -> Iterator[tuple[bytes, list[bytes]]]:
    """(record key, lines) per partition, in order, each of at most `bytes_max` bytes of lines.

    The key is the first event's; all others of the record belong to the same partition.
    """
    if len(accepted) == 1:
        yield accepted[0].key.encode(), [accepted[0].line]
        return
    partitions: dict[int, list[tuple[bytes, bytes]]] = {}
    for one in accepted:
        key = one.key.encode()
        partitions.setdefault(partition_of(key), []).append((key, one.line))
    for members in partitions.values():
        lines = [line for _, line in members]
        start = 0
        for part in chunks(lines, bytes_max):
            yield members[start][0], part
            start += len(part)


def chunks(lines: Sequence[bytes], bytes_max: int) -> Iterator[list[bytes]]:
    """Consecutive lines, together at most `bytes_max` bytes; a longer one stands alone."""
    part: list[bytes] = []
    size = 0
    for line in lines:
        if part and size + len(line) > bytes_max:
            yield part
            part, size = [], 0
        part.append(line)
        size += len(line)
    if part:
        yield part


def header_line(
    *,
    verdict: Literal["accepted", "rejected"],
    source: str,
    request: str,
    received_at: datetime,
    default_at: datetime,
    correction: Correction | None = None,
) -> bytes:
    """The first line of a bundle, as `Header` reads it."""
    more = ""
    if correction is not None:
        added_us = correction.add // timedelta(microseconds=1)
        more = f',"added_us":{added_us},"latest_at":"{correction.latest.isoformat()}"'
    return (
        f'{{"bundle":{BUNDLE_VERSION},"verdict":"{verdict}","source":{json.dumps(source)},'
        f'"request":{json.dumps(request)},"received_at":"{received_at.isoformat()}",'
        f'"default_at":"{default_at.isoformat()}"{more}}}'
    ).encode()
