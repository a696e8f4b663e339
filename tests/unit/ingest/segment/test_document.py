"""The page for users says what the code does."""

from pathlib import Path

from services.ingest.domain.segment.catalogue import KNOWN

PAGE = (Path(__file__).parents[4] / "docs/SEGMENT.md").read_text()


def test_the_table_of_events_is_that_of_the_code() -> None:
    table = PAGE.split("<!-- mapping -->\n")[1].split("<!-- /mapping -->")[0]
    rows = [f"| {known.name} | `{known.type}` |" for known in KNOWN]
    assert table.splitlines() == ["| event | becomes |", "| --- | --- |", *rows]
