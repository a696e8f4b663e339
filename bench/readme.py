"""The project's README shows the headlines between two markers, made from `results.json`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.report import COLUMNS, cells, pipes, table_of

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
# Of all that is known about the machine; the rest is on the page with every figure.
_MACHINE = ("processor", "cores", "memory", "tenure")


def headlines(results: Mapping[str, Any]) -> str:
    """One table of all sections, and where and when each was measured."""
    lines: list[tuple[str, ...]] = [("", *COLUMNS[1:])]
    for section in results.values():
        table = table_of(section)
        lines += [
            (f"**{table.section}**: {row.what}", *cells(row, table.verdict(row))[1:])
            for row in table.rows
            if row.headline
        ]
    return "\n\n".join([pipes(lines), *_measured(results)])


def _measured(results: Mapping[str, Any]) -> list[str]:
    """A sentence for each machine, commit and day that figures come from."""
    sections: dict[str, list[str]] = {}
    for name, section in results.items():
        machine = section["machine"]
        told = ", ".join(f"{one} {machine[one]}" for one in _MACHINE if one in machine)
        where = f"measured {section['measured_at'][:10]} on {told}"
        sections.setdefault(where, []).append(name)
    return [f"{', '.join(names).capitalize()}: {where}." for where, names in sections.items()]


def refreshed(text: str, results: Mapping[str, Any]) -> str | None:
    """The README's text with what stands between the markers made anew; None without markers."""
    before, begin, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        return None
    return f"{before}{BEGIN}\n{headlines(results)}\n{END}{after}"


def refresh(results: Mapping[str, Any], path: Path = README) -> bool:
    """Writes the README anew; False when it has no place for figures."""
    text = refreshed(path.read_text(), results)
    if text is None:
        return False
    path.write_text(text)
    return True
