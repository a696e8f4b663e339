"""Results as JSON, as the page with every figure, and as the README's table."""

import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import readme, report
from bench.figures import Aim, Row, Series, Table, compared

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MACHINE = {"processor": "abacus", "cores": "2"}


def table(section: str = "intake", *, ours: float = 8.0, spoilt_by: tuple[str, ...] = ()) -> Table:
    rate = compared(
        "one event",
        Series("tenure", "events/CPU-s", (ours, ours)),
        Series("bare", "events/CPU-s", (10.0, 10.0)),
        aim=Aim(">=", 0.7),
        primary=True,
        headline=True,
    )
    peak = Row("peak", Series("w", "MB", (123.4,)))
    return Table(section, f"The {section}", (rate, peak), ("A note.",), spoilt_by)


def test_the_page_has_every_section_with_its_ratio_verdict_and_machine() -> None:
    page = report.markdown(report.to_plain([table(), table("growth")], MACHINE, NOON))

    assert "## The intake" in page
    assert "## The growth" in page
    expected = "| one event | 10 events/CPU-s | 8 events/CPU-s | 0.8 – 0.8 – 0.8 | >= 0.7 | met |"
    assert expected in page
    assert "| peak |  | 123 MB |  |  |  |" in page
    assert "2 rounds, 2026-03-02T12:00:00+00:00, on processor abacus, cores 2." in page


def test_a_section_measured_anew_replaces_only_itself(tmp_path: Path) -> None:
    report.write_results(report.to_plain([table(), table("growth")], MACHINE, NOON), tmp_path)
    known = report.load_results(tmp_path / "results.json")
    new = report.to_plain([table(ours=5.0)], MACHINE, NOON)

    report.write_results(report.merge(known, new), tmp_path)

    written = json.loads((tmp_path / "results.json").read_text())
    assert written["growth"] == known["growth"]
    assert written["intake"]["rows"][0]["ratio"]["values"] == [0.5, 0.5]
    assert "| missed |" in (tmp_path / "RESULTS.md").read_text()


def test_before_the_first_run_there_are_no_results(tmp_path: Path) -> None:
    assert report.load_results(tmp_path / "results.json") == {}


def test_the_committed_page_is_made_from_the_committed_figures() -> None:
    if report.RESULTS_JSON.exists():
        made = report.markdown(report.load_results())
        assert report.RESULTS_MARKDOWN.read_text() == made


def test_the_terminal_shows_the_table_with_its_notes() -> None:
    console = Console(width=140, record=True, file=StringIO())
    report.show(table(), console)
    shown = console.export_text()

    assert "0.8 – 0.8 – 0.8" in shown
    assert "A note." in shown


def test_a_spoilt_run_says_why_and_has_only_void_rows() -> None:
    spoilt = table(spoilt_by=("loyalty ended or was started again",))
    page = report.markdown(report.to_plain([spoilt], MACHINE, NOON))

    assert "- VOID: loyalty ended or was started again." in page
    assert page.count("| void |") == 2
    assert report.table_of(report.to_plain([spoilt], MACHINE, NOON)["intake"]) == spoilt


def results() -> dict[str, Any]:
    return report.to_plain([table(), table("growth", ours=5.0)], MACHINE, NOON)


def test_the_readme_shows_the_headlines_of_all_sections_and_the_machine() -> None:
    text = readme.headlines(results())

    assert "| **intake**: one event | 10 events/CPU-s | 8 events/CPU-s | 0.8 – 0.8 – 0.8 |" in text
    assert "0.5 – 0.5 – 0.5 | >= 0.7 | missed |" in text
    assert "peak" not in text
    assert text.endswith("Intake, growth: measured 2026-03-02 on processor abacus, cores 2.")


def test_only_what_stands_between_the_markers_is_made_anew(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"# Before\n{readme.BEGIN}\nold figures\n{readme.END}\nAfter.\n")

    assert readme.refresh(results(), page)
    once = page.read_text()
    assert readme.refresh(results(), page)

    assert page.read_text() == once
    assert once.startswith(f"# Before\n{readme.BEGIN}\n|  | floor |")
    assert once.endswith(f"cores 2.\n{readme.END}\nAfter.\n")
    assert "old figures" not in once


def test_a_readme_without_markers_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("# Nothing measured\n")

    assert not readme.refresh(results(), page)
    assert page.read_text() == "# Nothing measured\n"


def test_the_committed_readme_shows_the_committed_figures() -> None:
    text = readme.README.read_text()

    assert readme.refreshed(text, report.load_results()) in {text, None}
