"""The download, against servers that are good, cut off, wrong, hang or lie."""

import asyncio
import io
import zipfile
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from shared.retry import Backoff
from stack.demo.download import Limits, fetch
from stack.demo.retail_log import Expected, read_invoices
from stack.errors import StackError
from tests.integration.demo.serving import serving
from tests.unit.demo.workbooks import write_workbook

SMALL = Expected(rows=4, revenue=Decimal("8.14"))
QUICK = Limits(silence_seconds=0.5, tries=3, backoff=Backoff(0.01, 0.02))


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    return zipped(write_workbook(tmp_path / "book.xlsx").read_bytes())


def zipped(content: bytes, name: str = "Online Retail.xlsx") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


class Archive:
    """A server of one file. `cuts`: after how many bytes each of the first answers breaks off."""

    def __init__(self, content: bytes, *, cuts: tuple[int, ...] = (), ranges: bool = True) -> None:
        self.content = content
        self.cuts = list(cuts)
        self.ranges = ranges
        self.asked: list[str | None] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        wanted = request.headers.get("Range")
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        if start >= len(self.content):
            return web.Response(status=416)
        rest = self.content[start:]
        answer = web.StreamResponse(status=206 if start else 200)
        answer.content_length = len(rest)
        await answer.prepare(request)
        if self.cuts:
            await answer.write(rest[: self.cuts.pop(0)])
            assert request.transport is not None
            request.transport.close()
            return answer
        await answer.write(rest)
        return answer


async def fetched(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]], folder: Path, **given: Any
) -> Path:
    reports: list[tuple[int, int | None]] = []
    options = {"limits": QUICK, "expected": SMALL, **given}
    async with serving(handler) as url:
        path = await fetch(
            folder, url=f"{url}/log.zip", report=lambda *one: reports.append(one), **options
        )
    assert reports
    assert reports[-1][0] == reports[-1][1]
    return path


async def test_a_good_archive_is_kept_as_parquet_and_not_asked_for_again(
    tmp_path: Path, archive: bytes
) -> None:
    server = Archive(archive)
    path = await fetched(server.handle, tmp_path / "downloads")
    assert [one.number for one in read_invoices(path, SMALL)] == ["536365", "C536379", "536414"]
    assert [one.name for one in (tmp_path / "downloads").iterdir()] == ["online_retail.parquet"]
    again = await fetch(tmp_path / "downloads", url="http://127.0.0.1:9/", report=lambda *_: None)
    assert again == path
    assert server.asked == [None]


async def test_a_broken_download_goes_on_where_it_stopped(tmp_path: Path, archive: bytes) -> None:
    server = Archive(archive, cuts=(100, 200))
    await fetched(server.handle, tmp_path)
    assert server.asked == [None, "bytes=100-", "bytes=300-"]


async def test_a_server_without_ranges_begins_anew(tmp_path: Path, archive: bytes) -> None:
    server = Archive(archive, cuts=(100,), ranges=False)
    await fetched(server.handle, tmp_path)
    assert server.asked == [None, "bytes=100-"]


async def test_what_an_earlier_run_left_is_continued_or_thrown_away(
    tmp_path: Path, archive: bytes
) -> None:
    part = tmp_path / "online_retail.zip.part"
    part.write_bytes(archive[:150])
    server = Archive(archive)
    await fetched(server.handle, tmp_path / ".")
    assert server.asked == ["bytes=150-"]
    (tmp_path / "online_retail.parquet").unlink()
    part.write_bytes(archive + b"more than there is")
    server = Archive(archive)
    await fetched(server.handle, tmp_path)
    assert server.asked[-1] is None


async def failing(handler: Any, folder: Path, **given: Any) -> str:
    with pytest.raises(StackError) as caught:
        await fetched(handler, folder, **given)
    assert not list(folder.glob("*.parquet"))
    return str(caught.value)


async def test_a_download_that_always_breaks_off_is_given_up(
    tmp_path: Path, archive: bytes
) -> None:
    said = await failing(Archive(archive, cuts=(1,) * 9).handle, tmp_path)
    assert "could not be downloaded" in said
    assert "--data PATH" in said


async def test_a_missing_file_is_said_at_once(tmp_path: Path) -> None:
    asked = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response(status=404)

    assert "answered 404" in await failing(handler, tmp_path)
    assert len(asked) == 1


async def test_a_server_in_trouble_is_asked_again(tmp_path: Path, archive: bytes) -> None:
    server, troubles = Archive(archive), [503, 500]

    async def handler(request: web.Request) -> web.StreamResponse:
        if troubles:
            return web.Response(status=troubles.pop())
        return await server.handle(request)

    await fetched(handler, tmp_path)
    assert troubles == []
    assert server.asked == [None]


async def test_a_server_that_hangs_is_left(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        answer.content_length = 1_000
        await answer.prepare(request)
        await answer.write(b"PK")
        await asyncio.Event().wait()
        return answer

    assert "could not be downloaded" in await failing(handler, tmp_path)


async def test_a_server_that_drips_is_left_too(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b"x")
            await asyncio.sleep(0.05)

    said = await failing(handler, tmp_path, limits=Limits(whole_seconds=0.5))
    assert "took more than" in said


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"<html>no such data set</html>", "not the log"),
        (zipped(b"hello", "readme.txt"), "0 workbooks"),
        (zipped(b"hello"), "not the log"),
    ],
)
async def test_wrong_content_is_refused_and_not_continued(
    tmp_path: Path, content: bytes, why: str
) -> None:
    assert why in await failing(Archive(content).handle, tmp_path)
    assert not list(tmp_path.iterdir())


async def test_another_log_is_refused(tmp_path: Path, archive: bytes) -> None:
    said = await failing(Archive(archive).handle, tmp_path, expected=Expected())
    assert "4 rows instead of 541,909" in said


async def test_too_much_is_refused_before_and_while_it_comes(
    tmp_path: Path, archive: bytes
) -> None:
    small = Limits(archive_bytes_max=len(archive) - 1)
    assert "larger than" in await failing(Archive(archive).handle, tmp_path / "a", limits=small)

    async def without_length(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(archive)
        return answer

    assert "larger than" in await failing(without_length, tmp_path / "b", limits=small)


async def test_an_archive_that_would_fill_the_disk_is_refused(tmp_path: Path) -> None:
    bomb = zipped(bytes(5_000_000))
    assert len(bomb) < 10_000
    limits = Limits(workbook_bytes_max=1_000_000)
    said = await failing(Archive(bomb).handle, tmp_path, limits=limits)
    assert "unpacks to more than 1,000,000 bytes" in said
    assert not list(tmp_path.iterdir())
