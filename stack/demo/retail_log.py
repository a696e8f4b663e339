"""Reads and checks the file of the UCI « Online Retail » log: Parquet, or the workbook as shipped.

Every row is a line of an invoice. Times have no zone and are read as UTC; prices are pounds.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from stack.demo import workbook
from stack.errors import StackError

COLUMNS = (
    "InvoiceNo", "StockCode", "Description", "Quantity",
    "InvoiceDate", "UnitPrice", "CustomerID", "Country",
)  # fmt: skip
FILE_NAME = "online_retail.parquet"


@dataclass(frozen=True, slots=True)
class Expected:
    """What makes a file the log: rows, and the sum of Quantity × UnitPrice in pounds."""

    rows: int = 541_909
    revenue: Decimal = Decimal("9747747.93")


@dataclass(frozen=True, slots=True)
class Line:
    """One row of an invoice."""

    sku: str
    name: str | None
    quantity: int
    unit_price: Decimal

    @property
    def amount(self) -> Decimal:
        return self.quantity * self.unit_price


@dataclass(frozen=True, slots=True)
class Invoice:
    """One invoice; `customer` is None for guests."""

    number: str
    at: datetime
    customer: str | None
    lines: list[Line]

    @property
    def total(self) -> Decimal:
        return sum((line.amount for line in self.lines), Decimal(0))


def read_invoices(path: Path, expected: Expected | None = None) -> list[Invoice]:
    """Invoices in time order from a Parquet file, UCI's workbook, or a folder with either; checked.

    Raises `StackError` when there is no such file or it is not the log.
    """
    expected = expected or Expected()
    found = _file_at(path)
    try:
        rows = list(_parquet_rows(found) if found.suffix == ".parquet" else _sheet_rows(found))
    except (workbook.WorkbookError, OSError, ValueError, KeyError, TypeError) as error:
        raise _not_the_log(found, str(error)) from error
    _require(found, rows, expected)
    return _invoices(rows)


def to_parquet(workbook_path: Path, target: Path, expected: Expected | None = None) -> None:
    """Checks UCI's workbook and keeps it as Parquet, which is read ten times faster.

    Raises `StackError` or `WorkbookError` when it is not the log.
    """
    import pyarrow
    import pyarrow.parquet

    rows = list(_sheet_rows(workbook_path))
    _require(workbook_path, rows, expected or Expected())
    values = [
        [row.number for row in rows],
        [row.line.sku for row in rows],
        [row.line.name for row in rows],
        [row.line.quantity for row in rows],
        [row.at.replace(tzinfo=None) for row in rows],
        [float(row.line.unit_price) for row in rows],
        [None if row.customer is None else int(row.customer) for row in rows],
        [row.country for row in rows],
    ]
    new = target.with_suffix(".new")
    pyarrow.parquet.write_table(pyarrow.table(values, names=list(COLUMNS)), new)
    new.replace(target)


def _file_at(path: Path) -> Path:
    if path.is_dir():
        candidates = [path / FILE_NAME, *sorted(path.glob("*.xlsx"))]
        path = next((one for one in candidates if one.is_file()), path / FILE_NAME)
    if not path.is_file():
        raise StackError(
            f"{path} does not exist.",
            "Give --data the Online Retail log as Parquet or as UCI's workbook (.xlsx), or let "
            "`--data online-retail` download it.",
        )
    if path.suffix not in {".parquet", ".xlsx"}:
        raise StackError(f"{path} is neither .parquet nor .xlsx.", "Give one of those.")
    return path


@dataclass(frozen=True, slots=True)
class _Row:
    number: str
    at: datetime
    customer: str | None
    country: str
    line: Line


def _parquet_rows(path: Path) -> Iterator[_Row]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=list(COLUMNS)):
            columns = [batch.column(name).to_pylist() for name in COLUMNS]
            for values in zip(*columns, strict=True):
                yield _row(values)


def _sheet_rows(path: Path) -> Iterator[_Row]:
    rows = workbook.rows_of(path)
    heading = next(rows, [])
    if tuple(heading) != COLUMNS:
        raise workbook.WorkbookError(f"its columns are {heading}")
    for cells in rows:
        if any(cell is not None for cell in cells):
            values: list[Any] = [*cells, *[None] * (len(COLUMNS) - len(cells))]
            values[4] = workbook.instant_of(values[4])
            yield _row(values)


def _row(values: Any) -> _Row:
    number, sku, name, quantity, at, price, customer, country = values
    line = Line(_code(sku), _code(name) if name else None, int(quantity), Decimal(repr(price)))
    return _Row(
        _code(number),
        at.replace(tzinfo=UTC),
        None if customer is None else str(int(customer)),
        str(country),
        line,
    )


def _code(value: Any) -> str:
    """Articles and invoices are numbers in some cells and words in others."""
    return str(int(value)) if isinstance(value, float) else str(value).strip()


def _require(path: Path, rows: list[_Row], expected: Expected) -> None:
    revenue = sum((row.line.amount for row in rows), Decimal(0)).quantize(Decimal("0.01"))
    if len(rows) != expected.rows:
        raise _not_the_log(path, f"{len(rows):,} rows instead of {expected.rows:,}")
    if revenue != expected.revenue:
        raise _not_the_log(path, f"revenue {revenue:,} instead of {expected.revenue:,}")


def _not_the_log(path: Path, why: str) -> StackError:
    return StackError(
        f"{path} is not the Online Retail log: {why}.",
        "Download it again, or let `--data online-retail` do it.",
    )


def _invoices(rows: list[_Row]) -> list[Invoice]:
    """Rows together by number; an invoice happened when its first row did."""
    grouped: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        grouped[row.number].append(row)
    invoices = [
        Invoice(number, min(row.at for row in one), one[0].customer, [row.line for row in one])
        for number, one in grouped.items()
    ]
    return sorted(invoices, key=lambda invoice: invoice.at)
