"""Files of the real log are read exactly, checked, and refused with one clear line."""

import zipfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from stack.demo import workbook
from stack.demo.retail_log import Expected, read_invoices, to_parquet
from stack.errors import StackError
from tests.unit.demo.workbooks import HEADING, ROWS, write_workbook

SMALL = Expected(rows=4, revenue=Decimal("8.14"))


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return write_workbook(tmp_path / "Online Retail.xlsx")


def test_a_workbook_gives_invoices_in_time_order(book: Path) -> None:
    first, second, third = read_invoices(book, SMALL)
    assert (first.number, first.customer, len(first.lines)) == ("536365", "17850", 2)
    assert first.at == datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
    assert first.total == Decimal("35.64")
    assert first.lines[0].name == "WHITE <HANGING> HEART & CO"
    assert [one.sku for one in first.lines] == ["85123A", "71053"]
    assert (second.number, second.total) == ("C536379", Decimal("-27.5"))
    assert (third.customer, third.lines[0].name) == (None, None)


def test_the_parquet_made_of_a_workbook_says_the_same(book: Path, tmp_path: Path) -> None:
    target = tmp_path / "online_retail.parquet"
    to_parquet(book, target, SMALL)
    assert read_invoices(target, SMALL) == read_invoices(book, SMALL)
    assert read_invoices(tmp_path, SMALL) == read_invoices(target, SMALL)


@pytest.mark.parametrize(
    ("expected", "why"),
    [
        (Expected(5, Decimal("8.14")), "4 rows instead of 5"),
        (Expected(4, Decimal("8.15")), r"revenue 8\.14 instead of 8\.15"),
    ],
)
def test_another_log_is_refused(book: Path, expected: Expected, why: str, tmp_path: Path) -> None:
    with pytest.raises(StackError, match=why):
        read_invoices(book, expected)
    with pytest.raises(StackError, match=why):
        to_parquet(book, tmp_path / "new.parquet", expected)
    assert not (tmp_path / "new.parquet").exists()


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere.parquet"):
        with pytest.raises(StackError, match=r"does not exist.*--data online-retail"):
            read_invoices(path)


@pytest.mark.parametrize("name", ["log.parquet", "log.xlsx", "log.csv"])
def test_a_file_of_something_else_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"InvoiceNo,StockCode\n1,2\n")
    with pytest.raises(StackError, match="log"):
        read_invoices(path)


def test_other_columns_are_refused(tmp_path: Path) -> None:
    book = write_workbook(tmp_path / "book.xlsx", [HEADING[:-1], *ROWS])
    with pytest.raises(StackError, match="columns"):
        read_invoices(book, SMALL)


def test_a_cell_of_the_wrong_kind_is_refused(tmp_path: Path) -> None:
    row = (*ROWS[0][:3], "many", *ROWS[0][4:])
    with pytest.raises(StackError, match="is not the Online Retail log"):
        read_invoices(write_workbook(tmp_path / "book.xlsx", [HEADING, row]), SMALL)


def test_a_workbook_that_declares_entities_is_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
    with pytest.raises(workbook.WorkbookError, match="document type"):
        list(workbook.rows_of(write_workbook(tmp_path / "book.xlsx", prologue=bomb)))


def test_a_workbook_that_would_fill_the_disk_is_refused(tmp_path: Path) -> None:
    book = write_workbook(tmp_path / "book.xlsx")
    with pytest.raises(workbook.WorkbookError, match="unpack"):
        list(workbook.rows_of(book, unpacked_bytes_max=1_000))


def test_a_damaged_workbook_is_refused(tmp_path: Path) -> None:
    book = write_workbook(tmp_path / "book.xlsx")
    book.write_bytes(book.read_bytes()[:-60])
    with pytest.raises(workbook.WorkbookError, match="damaged"):
        list(workbook.rows_of(book))
    with zipfile.ZipFile(book, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(workbook.WorkbookError, match="no workbook"):
        list(workbook.rows_of(book))


def test_inline_texts_and_gaps_are_read(tmp_path: Path) -> None:
    book = tmp_path / "book.xlsx"
    with zipfile.ZipFile(book, "w") as archive:
        archive.writestr(
            "xl/worksheets/sheet1.xml",
            '<worksheet><sheetData><row><c r="B1" t="inlineStr"><is><t>in</t><t>side</t></is></c>'
            '<c r="AB1"><v>1.5</v></c></row></sheetData></worksheet>',
        )
    ((*row,),) = workbook.rows_of(book)
    assert (row[0], row[1], row[27], len(row)) == (None, "inside", 1.5, 28)
