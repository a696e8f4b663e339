"""Small workbooks as UCI's spreadsheet program writes them."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

NAMESPACE = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
HEADING = (
    "InvoiceNo", "StockCode", "Description", "Quantity",
    "InvoiceDate", "UnitPrice", "CustomerID", "Country",
)  # fmt: skip
ROWS: tuple[tuple[object, ...], ...] = (
    (536365, "85123A", "WHITE <HANGING> HEART & CO", 6, 40513.3513888889, 2.55, 17850, "UK"),
    (536365, 71053, "WHITE METAL LANTERN", 6, 40513.3513888889, 3.39, 17850, "UK"),
    ("C536379", "D", "Discount", -1, 40513.3958333333, 27.5, 17850, "UK"),
    (536414, 22139, None, 56, 40513.4944444444, 0, None, "UK"),
)


def write_workbook(
    path: Path, rows: Sequence[Sequence[object]] = (HEADING, *ROWS), prologue: str = ""
) -> Path:
    """Texts as shared strings, numbers as they are, None as no cell at all."""
    strings: dict[str, int] = {}
    body = []
    for number, row in enumerate(rows, 1):
        cells = []
        for column, value in enumerate(row):
            reference = f"{chr(ord('A') + column)}{number}"
            if isinstance(value, str):
                index = strings.setdefault(value, len(strings))
                cells.append(f'<c r="{reference}" t="s"><v>{index}</v></c>')
            elif value is not None:
                cells.append(f'<c r="{reference}"><v>{value}</v></c>')
        body.append(f'<row r="{number}">{"".join(cells)}</row>')
    shared = "".join(f"<si><t>{escape(text)}</t></si>" for text in strings)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "xl/worksheets/sheet1.xml",
            f'{prologue}<worksheet xmlns="{NAMESPACE}"><sheetData>{"".join(body)}</sheetData>'
            "</worksheet>",
        )
        archive.writestr("xl/sharedStrings.xml", f'<sst xmlns="{NAMESPACE}">{shared}</sst>')
    return path
