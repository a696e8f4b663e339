"""Downloads the Online Retail log from the UCI archive, once, and keeps it as Parquet.

1. The archive is streamed to `<name>.part`; an interrupted download is continued where it stopped
   (HTTP ranges), or begun anew where the server cannot.
2. The workbook inside is unpacked within a size limit, read and checked: rows and revenue.
3. Only then it takes its place as Parquet, by renaming; a later demo reads that.
"""

import asyncio
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from shared.retry import Backoff
from stack.demo import retail_log, workbook
from stack.demo.retail_log import Expected
from stack.errors import StackError

URL = "https://archive.ics.uci.edu/static/public/352/online+retail.zip"
CHUNK_BYTES = 1 << 18
# The archive is 23 MB, the workbook in it about as much.
ARCHIVE_BYTES_MAX = 100_000_000
WORKBOOK_BYTES_MAX = 200_000_000
REMEDY = "Try again, or give a copy of the log with --data PATH."

Report = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds without a byte until a try is over and in all; tries; bytes of archive, workbook."""

    silence_seconds: float = 20.0
    tries: int = 4
    archive_bytes_max: int = ARCHIVE_BYTES_MAX
    workbook_bytes_max: int = WORKBOOK_BYTES_MAX
    whole_seconds: float = 1_800.0
    backoff: Backoff = field(default_factory=lambda: Backoff(first_seconds=0.5, max_seconds=8))


class _TryAgain(Exception):
    """This try ended early; the next continues."""


async def fetch(
    folder: Path,
    *,
    report: Report,
    url: str = URL,
    limits: Limits | None = None,
    expected: Expected | None = None,
) -> Path:
    """The Parquet file in `folder`, downloaded if it is not there; `report(bytes, bytes_in_all)`.

    Raises `StackError` when the archive cannot be had or is not the log.
    """
    target = folder / retail_log.FILE_NAME
    if target.is_file():
        return target
    limits = limits or Limits()
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / "online_retail.zip.part"
    try:
        async with asyncio.timeout(limits.whole_seconds):
            await _download(url, archive, limits, report)
    except TimeoutError:
        seconds = limits.whole_seconds
        raise StackError(f"{url} took more than {seconds:.0f} s.", REMEDY) from None
    unpacked = folder / "online_retail.xlsx"
    try:
        _unpack(archive, unpacked, limits.workbook_bytes_max)
        retail_log.to_parquet(unpacked, target, expected)
    except (zipfile.BadZipFile, workbook.WorkbookError) as error:
        raise StackError(f"What {url} sent is not the log: {error}.", REMEDY) from error
    finally:
        # What was wrong once must not be continued, and what was right is in the Parquet file.
        archive.unlink(missing_ok=True)
        unpacked.unlink(missing_ok=True)
    return target


async def _download(url: str, part: Path, limits: Limits, report: Report) -> None:
    delays = limits.backoff.delays()
    timeout = httpx.Timeout(limits.silence_seconds)
    reason = ""
    async with httpx.AsyncClient(timeout=timeout, follow_redirects=True) as client:
        for attempt in range(limits.tries):
            if attempt:
                await asyncio.sleep(next(delays))
            try:
                await _continue(client, url, part, limits, report)
            except _TryAgain as error:
                reason = str(error)
            except httpx.TransportError as error:
                reason = str(error) or type(error).__name__
            else:
                return
    raise StackError(f"{url} could not be downloaded: {reason}.", REMEDY)


async def _continue(
    client: httpx.AsyncClient, url: str, part: Path, limits: Limits, report: Report
) -> None:
    """One try; returns when the archive is complete."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    async with client.stream("GET", url, headers=headers) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()
            raise _TryAgain("what was downloaded before does not fit")
        if answer.is_server_error:
            raise _TryAgain(f"it answered {answer.status_code}")
        if not answer.is_success:
            raise StackError(f"{url} answered {answer.status_code}.", REMEDY)
        continued = answer.status_code == httpx.codes.PARTIAL_CONTENT
        have = have if continued else 0
        length = answer.headers.get("content-length")
        whole = have + int(length) if length and length.isdigit() else None
        if whole is not None and whole > limits.archive_bytes_max:
            raise _too_large(url, limits)
        have = await _store(answer, part, have, lambda done: report(done, whole), limits)
    if whole is not None and have < whole:
        raise _TryAgain(f"it ended after {have:,} of {whole:,} bytes")


async def _store(
    answer: httpx.Response, part: Path, have: int, report: Callable[[int], None], limits: Limits
) -> int:
    with part.open("ab" if have else "wb") as file:
        async for chunk in answer.aiter_raw():
            have += len(chunk)
            if have > limits.archive_bytes_max:
                raise _too_large(str(answer.url), limits)
            file.write(chunk)
            report(have)
    return have


def _too_large(url: str, limits: Limits) -> StackError:
    return StackError(f"{url} is larger than {limits.archive_bytes_max:,} bytes.", REMEDY)


def _unpack(archive: Path, target: Path, bytes_max: int) -> None:
    """The one workbook of the archive; what it claims to unpack to is not believed."""
    with zipfile.ZipFile(archive) as packed:
        members = [one for one in packed.infolist() if one.filename.lower().endswith(".xlsx")]
        if len(members) != 1:
            raise workbook.WorkbookError(f"it holds {len(members)} workbooks instead of one")
        unpacked = 0
        with packed.open(members[0]) as source, target.open("wb") as file:
            while chunk := source.read(CHUNK_BYTES):
                unpacked += len(chunk)
                if unpacked > bytes_max:
                    raise workbook.WorkbookError(f"it unpacks to more than {bytes_max:,} bytes")
                file.write(chunk)
