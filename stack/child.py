"""Child processes: started in a group of their own, with a log file, ended with their launcher."""

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TypedDict

from stack.errors import StackError

WARDEN_PATH = Path(__file__).with_name("warden.py")
POLL_SECONDS = 0.02
KILL_WAIT_SECONDS = 10.0
CLOSE_SECONDS = 10.0
LOG_TAIL_BYTES = 64 * 1024
# Beyond this the log of earlier runs becomes `.log.1`, in place of the one before.
LOG_BYTES_MAX = 32 * 1024 * 1024


class Account(TypedDict, total=False):
    """How `Popen` is told whom to run as."""

    user: int
    group: int
    extra_groups: list[int]


class _Warden:
    """The launcher's end of the pipe to `warden.py`; one for all, started with the first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0

    def add(self, pid: int, number: int) -> None:
        self._tell(f"+{pid} {number}\n")

    def remove(self, pid: int) -> None:
        self._tell(f"-{pid}\n")

    def _tell(self, line: str) -> None:
        with self._lock:
            pipe = self._pipe()
            try:
                pipe.write(line)
                pipe.flush()
            except BrokenPipeError:
                self._process = None  # Somebody ended it; the next child gets a new one.

    def _pipe(self) -> IO[str]:
        # A forked copy must not share the pipe: the death of the original would go unseen.
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self._owner = os.getpid()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(WARDEN_PATH)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
            atexit.register(self._close, self._process, self._owner)
        assert self._process.stdin is not None
        return self._process.stdin

    def _close(self, process: subprocess.Popen[str], owner: int) -> None:
        """On an ordinary exit: what is left is ended before we are gone."""
        if owner == os.getpid():
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                process.communicate(timeout=CLOSE_SECONDS)


_warden = _Warden()


class Child:
    """One running process: `stop` asks, `kill` does not."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log_path: Path,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        user_id: int | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        orphan_signal: signal.Signals | None = None,
    ) -> None:
        self.name = name
        self.log_path = log_path
        self._stop_signal = stop_signal
        log_path.parent.mkdir(parents=True, exist_ok=True)
        if log_path.exists() and log_path.stat().st_size > LOG_BYTES_MAX:
            log_path.replace(log_path.with_name(log_path.name + ".1"))
        self.log_offset = log_path.stat().st_size if log_path.exists() else 0
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if environment is None else dict(environment),
                cwd=directory,
                start_new_session=True,
                **account(user_id),
            )
        _warden.add(self.pid, orphan_signal or stop_signal)

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs; negative is the signal that ended it."""
        code = self._process.poll()
        if code is not None:
            _warden.remove(self.pid)
        return code

    def wait(self, seconds: float) -> int | None:
        """Its exit code, or None when it still runs after that long."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self.exit_code()

    def ask_to_stop(self) -> None:
        """Signal only; `wait` for the end."""
        if self.exit_code() is None:
            self._process.send_signal(self._stop_signal)

    def stop(self, seconds: float) -> int:
        """Ask, wait that long, then kill. A frozen process is woken, or it could not hear."""
        self.ask_to_stop()
        if self.exit_code() is None:
            self.thaw()
        code = self.wait(seconds)
        return self.kill() if code is None else code

    def kill(self) -> int:
        """SIGKILL for the process and its group."""
        if self.exit_code() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        code = self.wait(KILL_WAIT_SECONDS)
        assert code is not None, f"{self.name} (process {self.pid}) outlived SIGKILL"
        return code

    def freeze(self) -> None:
        """SIGSTOP: alive, holding its connections, answering nothing."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGCONT)

    def wait_until(self, is_ready: Callable[[], bool], seconds: float) -> None:
        """Wait for a condition; an error when the process or the time ends before."""
        deadline = time.monotonic() + seconds
        while not is_ready():
            code = self.exit_code()
            if code is not None:
                raise StackError(
                    f"{self.name} ended with {describe(code)} at its start: {self.last_words()}",
                    f"Its log is {self.log_path}.",
                )
            if time.monotonic() > deadline:
                self.kill()
                raise StackError(
                    f"{self.name} was not ready after {seconds:.0f} s.", f"See {self.log_path}."
                )
            time.sleep(POLL_SECONDS)

    def log_text(self) -> str:
        """What this run wrote (its last part, when long)."""
        with self.log_path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self.log_offset, size - LOG_TAIL_BYTES))
            return log.read().decode(errors="replace")

    def last_words(self) -> str:
        """The line of the log that says most about a failure."""
        lines = [line.strip() for line in self.log_text().splitlines() if line.strip()]
        telling = [line for line in lines if any(word in line for word in _TELLING)]
        return (telling or lines or ["it wrote nothing."])[-1]


_TELLING = ("FATAL", "PANIC", "ERROR", "Exception", "Error:", "could not")


def describe(code: int) -> str:
    """An exit code in words."""
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def account(user_id: int | None) -> Account:
    """Arguments of `Popen` to run as somebody else, in that account's own group and no other."""
    if user_id is None:
        return {}
    import pwd

    return {"user": user_id, "group": pwd.getpwuid(user_id).pw_gid, "extra_groups": []}
