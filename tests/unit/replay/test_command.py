"""What the options of `tenure replay` mean, and what a dry run says."""

import json
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner, Result

from stack.errors import StackError
from stack.replay.command import _mapping_of, replay

TOML = """
type = "order.completed"
[columns]
no = "id"
at = "occurred_at"
[constants]
"data.currency" = "GBP"
"""


def ran(*arguments: str) -> Result:
    app = Typer()
    app.command()(replay)
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_options_add_to_the_mapping_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mapping{suffix}"
    document = {
        "type": "order.completed",
        "columns": {"no": "id", "at": "occurred_at"},
        "constants": {"data.currency": "GBP"},
    }
    path.write_text(TOML if suffix == ".toml" else json.dumps(document))
    maps, sets = ["no=data.order_id", "a=b=customer_id"], ["data.coupon=x=y", "type=custom.x"]
    mapping = _mapping_of(path, maps, sets, "Europe/Paris", "unix")

    assert mapping is not None
    assert mapping.columns == {
        "no": ("id", "data.order_id"), "at": ("occurred_at",), "a=b": ("customer_id",),
    }  # fmt: skip
    assert mapping.constants["data.coupon"] == "x=y"
    assert (str(mapping.zone), mapping.time_format) == ("Europe/Paris", "unix")


def test_without_options_there_is_no_mapping() -> None:
    assert _mapping_of(None, (), (), None, None) is None


@pytest.mark.parametrize("option", ["no", "=id", "no="])
def test_an_option_without_two_sides_is_told(option: str) -> None:
    with pytest.raises(StackError, match="NAME=VALUE"):
        _mapping_of(None, [option], (), None, None)
    with pytest.raises(StackError, match="NAME=VALUE"):
        _mapping_of(None, (), [option], None, None)


@pytest.mark.parametrize("content", ["[columns", "\xff", "{", "[1]"])
def test_a_mapping_that_cannot_be_read_is_told(tmp_path: Path, content: str) -> None:
    for suffix in (".toml", ".json"):
        path = tmp_path / f"mapping{suffix}"
        path.write_text(content, encoding="latin-1")
        with pytest.raises(StackError):
            _mapping_of(path, (), (), None, None)


def test_a_dry_run_needs_no_stack_and_says_what_would_not_be_taken(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    good = {"type": "page.viewed", "customer_id": "c", "occurred_at": "2024-01-02T00:00:00Z"}
    path.write_text("\n".join(map(json.dumps, (good, good))))
    fine = ran(str(path), "--dry-run", "--data-dir", str(tmp_path / "none"))
    path.write_text("\n".join(map(json.dumps, (good, good | {"customer_id": "null"}))))
    bad = ran(str(path), "--dry-run", "--data-dir", str(tmp_path / "none"))

    assert (fine.exit_code, bad.exit_code) == (0, 1)
    assert "would be accepted" in fine.output
    assert "customer_id: this value stands for nobody in particular" in bad.output
    assert not (tmp_path / "none").exists()


def test_without_a_stack_it_says_how_to_get_one(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("{}")
    result = ran(str(path), "--data-dir", str(tmp_path / "none"))
    assert isinstance(result.exception, StackError)
    assert "`tenure up`" in str(result.exception)
    keyless = ran(str(path), "--data-dir", str(tmp_path / "none"), "--url", "http://127.0.0.1:1")
    assert "no key for ingest" in str(keyless.exception)


def test_a_stack_on_the_other_clock_is_refused_where_a_clock_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("{}")
    here = {"clock": "wall", "ingest_url": "http://127.0.0.1:1"}
    (tmp_path / "addresses.json").write_text(json.dumps(here))
    result = ran(str(path), "--data-dir", str(tmp_path), "--clock", "event")
    assert "runs on the wall clock" in str(result.exception)
