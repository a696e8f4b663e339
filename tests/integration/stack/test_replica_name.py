"""Two containers of one service, started by the same words, are two members of its group."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import stack


def test_a_copy_is_named_after_its_host_unless_told(tmp_path: Path) -> None:
    """The line that a process logs when it starts says its name."""
    for words, name in (((), socket.gethostname()), (("--replica", "7"), "7")):
        process = subprocess.Popen(
            [sys.executable, "-m", "stack.cli", "serve", "loyalty", "--roles", "api",
             "--port", "0", "--data-dir", str(tmp_path), *words],
            env=os.environ | {"TENURE_KAFKA": "127.0.0.1:1", "TENURE_DATABASE_URL": "postgresql://t@127.0.0.1:1/t"},
            cwd=Path(stack.__file__).parents[1],
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert process.stderr is not None
        said = next(line for line in process.stderr if '"started"' in line)
        process.terminate()
        process.communicate(timeout=20)
        assert f'"replica": "{name}"' in said
        assert process.returncode == 0
