"""A data directory belongs to one stack, one format, and a disk with room."""

import json
import stat
from pathlib import Path

import pytest

from stack.addresses import Addresses, addresses, forget, note
from stack.backing import locked_data_dir
from stack.errors import StackError
from stack.kafka import EmbeddedKafka
from stack.ports import free_base
from stack.postgres import let_through
from stack.settings import StackSettings


def test_a_new_directory_is_made_and_marked(tmp_path: Path) -> None:
    with locked_data_dir(tmp_path / "new", StackSettings()) as folder:
        assert json.loads((folder / "version.json").read_text()) == {"format": 1}


def test_a_second_stack_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    with (
        locked_data_dir(tmp_path, StackSettings()),
        pytest.raises(StackError, match="in use by another stack"),
        locked_data_dir(tmp_path, StackSettings()),
    ):
        pass
    with locked_data_dir(tmp_path, StackSettings()):
        pass


@pytest.mark.parametrize("written", ['{"format": 2}', "[]", "nonsense"])
def test_a_directory_of_another_version_is_refused(tmp_path: Path, written: str) -> None:
    (tmp_path / "version.json").write_text(written)
    with (
        pytest.raises(StackError, match="has data of format"),
        locked_data_dir(tmp_path, StackSettings()),
    ):
        pass


def test_a_full_disk_is_said_before_anything_starts(tmp_path: Path) -> None:
    full = StackSettings(disk_free_mb_min=10**9)
    with pytest.raises(StackError, match="is full"), locked_data_dir(tmp_path, full):
        pass


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StackError, match="cannot be used"),
        locked_data_dir(tmp_path / "file" / "below", StackSettings()),
    ):
        pass


def test_addresses_are_noted_for_other_commands_and_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TENURE_DATABASE_URL", raising=False)
    monkeypatch.delenv("TENURE_KAFKA", raising=False)
    with pytest.raises(StackError, match="No stack runs"):
        addresses(tmp_path)
    here = Addresses("postgresql://tenure:x@127.0.0.1:1/tenure", "127.0.0.1:2", "event")
    note(tmp_path, here)
    assert addresses(tmp_path) == here
    assert stat.S_IMODE((tmp_path / "addresses.json").stat().st_mode) == 0o600


def test_addresses_of_a_stack_that_is_gone_are_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TENURE_DATABASE_URL", raising=False)
    monkeypatch.delenv("TENURE_KAFKA", raising=False)
    here = Addresses("postgresql://tenure:x@127.0.0.1:1/tenure", "127.0.0.1:2")
    with locked_data_dir(tmp_path, StackSettings()):
        note(tmp_path, here)
        assert addresses(tmp_path) == here
    # Killed, it could not forget them; its ports may be another stack's by now.
    with pytest.raises(StackError, match="No stack runs"):
        addresses(tmp_path)
    with locked_data_dir(tmp_path, StackSettings()):
        forget(tmp_path)
        with pytest.raises(StackError, match="No stack runs"):
            addresses(tmp_path)


def test_a_folder_that_cannot_be_opened_to_the_database_s_account_is_said(tmp_path: Path) -> None:
    let_through([tmp_path])
    assert tmp_path.stat().st_mode & stat.S_IXOTH
    with pytest.raises(StackError, match=r"cannot be opened to the account .* No such file"):
        let_through([tmp_path / "gone"])


def test_a_folder_with_a_comma_is_refused_for_kafka(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="has a comma"):
        EmbeddedKafka(tmp_path / "a,b", free_base()).start()
