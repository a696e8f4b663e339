"""`make setup` where Python cannot make an environment: one line, and nothing broken left."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# Makes half an environment, as Debian's Python without its venv package does.
HALF = """#!/bin/sh
mkdir -p .venv/bin
printf '#!/bin/sh\\nexit 1\\n' > .venv/bin/python
chmod +x .venv/bin/python
exit 1
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    half = tmp_path / "half-python"
    half.write_text(HALF)
    half.chmod(0o755)
    return tmp_path


def setup(project: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["make", "setup", "PYTHON=./half-python"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_an_environment_that_cannot_be_made_is_said_and_taken_away(project: Path) -> None:
    # What an earlier try left must not be taken for an environment either.
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").symlink_to("/bin/false")
    for _ in range(2):
        done = setup(project)
        assert done.returncode != 0
        assert "./half-python cannot make a virtual environment" in done.stderr
        assert not (project / ".venv").exists()
