"""The rows of real files, each with its place."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from stack.demo.online_retail import OnlineRetail
from stack.demo.retail_log import COLUMNS, Invoice, Line
from stack.errors import StackError
from stack.replay.mapping import ColumnMapping, Flaw, read_mapping
from stack.replay.records import Format, Record, RetailSource, open_source

SHOP = read_mapping(
    {
        "type": "order.completed",
        "columns": {"no": "data.order_id", "who": "customer_id", "at": "occurred_at"},
    }
)
OWN = {"type": "page.viewed", "customer_id": "c-1", "occurred_at": "2024-01-02T00:00:00Z"}


def records(
    path: Path,
    content: str | bytes,
    mapping: ColumnMapping | None = SHOP,
    kind: Format | None = None,
    delimiter: str = ",",
) -> list[Record]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(open_source(path, kind, mapping, delimiter).records())


def refused(path: Path, content: str | bytes, mapping: ColumnMapping | None = SHOP) -> str:
    with pytest.raises(StackError) as error:
        records(path, content, mapping)
    return str(error.value)


def test_a_csv_row_is_an_event_found_on_its_line(tmp_path: Path) -> None:
    content = '\ufeffno,who,at\n1,c-1,2024-01-02\n\n"2\n3","c ""x""",2024-01-03\n4,c-2,2024-01-04\n'
    found = records(tmp_path / "a.csv", content)

    assert [one.line for one in found] == [2, 4, 6]
    assert [one.payload()["data"]["order_id"] for one in found] == ["1", "2\n3", "4"]
    assert found[1].payload()["customer_id"] == 'c "x"'
    assert found[-1].share == 1.0
    assert len({one.payload()["id"] for one in found}) == 3


def test_the_ids_of_rows_stay_when_the_file_grows(tmp_path: Path) -> None:
    content = "no,who,at\n1,c-1,2024-01-02\n1,c-1,2024-01-02\n"
    before = records(tmp_path / "a.csv", content)
    after = records(tmp_path / "b.csv", content + "9,c-9,2024-01-09\n")

    ids = [one.payload()["id"] for one in before]
    assert [one.payload()["id"] for one in after][:2] == ids
    assert len(set(ids)) == 2  # two equal rows are two events


def test_tabs_and_other_delimiters(tmp_path: Path) -> None:
    (tab,) = records(tmp_path / "a.tsv", "no\twho\tat\n1\tc,1\t2024-01-02\n")
    (semicolon,) = records(tmp_path / "b.csv", "no;who;at\n1;c,1;2024-01-02\n", delimiter=";")
    assert tab.payload() == semicolon.payload()


@pytest.mark.parametrize(
    ("row", "flaw"),
    [
        (b"1,c-1", Flaw("", "", "has 2 cells, the heading 3")),
        (b"1,c-1,2024-01-02,more", Flaw("", "", "has 4 cells, the heading 3")),
        (b"1,\xff,2024-01-02", Flaw("who", "", "is not UTF-8")),
        (b"1,c-1,", Flaw("", "occurred_at", "needed: history has times")),
    ],
)
def test_a_bad_row_is_told_and_the_next_goes_on(tmp_path: Path, row: bytes, flaw: Flaw) -> None:
    bad, good = records(tmp_path / "a.csv", b"no,who,at\n" + row + b"\n2,c-2,2024-01-02\n")

    assert (bad.event, bad.flaw, bad.line) == (None, flaw, 2)
    json.dumps(bad.row).encode()
    assert good.event is not None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("no,no,at\n", "names no twice"),
        ("no,who\n", "no column at"),
        ('no,who,at\n1,c-1,2024-01-02\n"2,c', "line 3: not CSV"),
        ('no,who,at\n1,"c"1,2024-01-02\n', "line 2: not CSV"),
    ],
)
def test_a_file_that_is_no_such_csv_is_told(tmp_path: Path, content: str, words: str) -> None:
    assert words in refused(tmp_path / "a.csv", content)


def test_json_lines_of_our_own_form_are_taken_as_they_are(tmp_path: Path) -> None:
    lines = [OWN | {"id": "e-1", "data": {"url": "/"}}, OWN]
    found = records(
        tmp_path / "a.jsonl", "\n".join(["", *map(json.dumps, lines), ""]), mapping=None
    )

    assert [one.line for one in found] == [2, 3]
    assert found[0].payload() == lines[0]
    assert found[1].payload() == OWN | {"data": {}, "id": found[1].payload()["id"]}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "is not JSON"),
        (b"[1]", "is not a JSON object"),
        (b'{"a": "\xff"}', "is not UTF-8"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"type": "page.viewed"}', "needed: history has times"),
    ],
)
def test_a_bad_json_line_is_told_and_the_next_goes_on(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    content = line + b"\n" + json.dumps(OWN).encode()
    bad, good = records(tmp_path / "a.jsonl", content, mapping=None)

    assert bad.flaw is not None
    assert reason in bad.flaw.reason
    json.dumps(bad.row).encode()
    assert good.event is not None


def test_json_lines_of_any_form_with_a_mapping(tmp_path: Path) -> None:
    line = {"no": 1, "who": 17850.0, "at": "2024-01-02"}
    (one,) = records(tmp_path / "a.ndjson", json.dumps(line))
    assert one.payload()["customer_id"] == "17850"


def write_parquet(path: Path, **columns: list[Any]) -> Path:
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def test_parquet_rows_keep_their_types(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "a.parquet",
        no=[Decimal("1.50"), None],
        who=[17850, 17851],
        at=[datetime(2024, 1, 2, 3), datetime(2024, 1, 3)],  # noqa: DTZ001
        lines=[[{"sku": "A"}], []],
    )
    mapping = ColumnMapping({**SHOP.columns, "lines": ("data.items",)}, SHOP.constants)
    first, second = open_source(path, None, mapping, ",").records()

    assert first.payload()["data"] == {"order_id": "1.50", "items": [{"sku": "A"}]}
    assert first.payload()["occurred_at"] == "2024-01-02T03:00:00Z"
    assert (first.line, first.share, second.line, second.share) == (1, 0.5, 2, 1.0)


def test_parquet_without_a_mapping_is_taken_by_its_columns_names(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "a.parquet",
        **{
            "type": ["custom.visit"],
            "customer_id": ["c-1"],
            "occurred_at": ["2024-01-02"],
            "data.shop": ["x"],
        },
    )
    (one,) = open_source(path, None, None, ",").records()
    assert one.payload()["data"] == {"shop": "x"}


def test_a_file_of_other_content_is_told(tmp_path: Path) -> None:
    assert "is no Parquet file" in refused(tmp_path / "a.parquet", "text")
    assert "tells nothing of its format" in refused(tmp_path / "a.dat", "text")
    with pytest.raises(StackError, match="There is no file"):
        open_source(tmp_path / "missing.csv", None, None, ",")


def test_the_retail_log_is_known_by_its_columns_and_checked(tmp_path: Path) -> None:
    row: dict[str, list[Any]] = {name: ["1"] for name in COLUMNS}
    row |= {"Quantity": [1], "UnitPrice": [1.0], "CustomerID": [1.0]}
    row["InvoiceDate"] = [datetime(2011, 1, 1)]  # noqa: DTZ001
    path = write_parquet(tmp_path / "a.parquet", **row)
    with pytest.raises(StackError, match="is not the Online Retail log: 1 rows"):
        open_source(path, None, None, ",")


def test_an_invoice_of_the_retail_log_is_an_event() -> None:
    at = datetime(2011, 1, 1, tzinfo=UTC)
    line = Line("A", "A THING", 2, Decimal("1.25"))
    history = OnlineRetail([Invoice("1", at, "17850", [line]), Invoice("2", at, None, [line])])
    first, second = RetailSource(history).records()

    assert first.payload()["id"] == "online-retail-1"
    assert second.payload()["anonymous_id"] == "guest-2"
    assert (first.share, second.share) == (0.5, 1.0)
