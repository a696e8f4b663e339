"""The import contracts hold, and each of them bites on a copy with a forbidden import."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("services", "shared", "stack", "tests", "bench")

OFFENCES = {
    "floors: stack": ("shared/events/webhooks.py", "import shared.runtime.settings"),
    "floors: nothing imports tests": ("shared/runtime/dead.py", "import tests.conftest"),
    "strangers": ("services/loyalty/main.py", "import services.scoring.tables"),
    "anatomy": ("services/loyalty/tables.py", "import services.loyalty.main"),
    "pure: no I/O, clock or dice": ("services/loyalty/domain/hasty.py", "import asyncio"),
    "pure: no I/O in the language": ("shared/events/webhooks.py", "import sqlalchemy"),
    "no fakes": ("services/loyalty/main.py", "import shared.testing.builders"),
}


def contracts(folder: Path) -> subprocess.CompletedProcess[str]:
    lint = Path(sys.executable).parent / "lint-imports"
    return subprocess.run(
        [lint, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_the_contracts_are_kept() -> None:
    done = contracts(ROOT)
    assert done.returncode == 0, done.stdout[-3_000:]


@pytest.mark.parametrize("contract", OFFENCES)
def test_the_contract_bites(contract: str, copy: Path) -> None:
    path, line = OFFENCES[contract]
    target = copy / path
    before = target.read_text() if target.exists() else None
    target.write_text(f'"""An offence."""\n{line}\n' if before is None else f"{before}\n{line}\n")
    try:
        done = contracts(copy)
    finally:
        if before is None:
            target.unlink()
        else:
            target.write_text(before)
    assert done.returncode != 0
    assert contract in done.stdout.partition("Broken contracts")[2], done.stdout[-3_000:]


def test_a_stray_file_in_a_service_breaks_the_anatomy(copy: Path) -> None:
    stray = copy / "services/loyalty/stuff.py"
    stray.write_text('"""A file that the anatomy does not know."""\n')
    try:
        done = contracts(copy)
    finally:
        stray.unlink()
    assert done.returncode != 0
    assert "services.loyalty" in done.stdout
