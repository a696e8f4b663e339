"""Where PostgreSQL and Kafka come from: one ladder for `tenure up`, tests, demo and benches.

1. An address that is set (`TENURE_DATABASE_URL`, `TENURE_KAFKA`) is used as it is.
2. Docker, through testcontainers, when an engine answers: asked by tests (`prefer="docker"`), by
   `up` only with `--backing docker`, where an engine that does not answer is an error.
3. Embedded: a real Apache Kafka and a real PostgreSQL from packages alone.

Every piece can be stopped, killed and started by itself; what was given by address cannot.
"""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Protocol
from urllib.parse import urlsplit, urlunsplit

import psutil

from stack.addresses import LOCK_NAME, hold
from stack.errors import StackError
from stack.kafka import EmbeddedKafka
from stack.postgres import EmbeddedPostgres
from stack.settings import StackSettings

DATA_FORMAT = 1
MEGABYTE = 1024 * 1024
DOCKER_API_VERSION = "1.44"

Prefer = Literal["embedded", "docker", "docker-only"]


class Piece(Protocol):
    """What the supervisor and tests do to a backing piece."""

    @property
    def pid(self) -> int | None: ...
    def exit_code(self) -> int | None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...


class Postgres(Piece, Protocol):
    """A database server."""

    @property
    def url(self) -> str: ...
    def url_of(self, database: str) -> str: ...


class Kafka(Piece, Protocol):
    """A broker."""

    @property
    def bootstrap(self) -> str: ...


@dataclass(frozen=True, slots=True)
class _Given:
    """A piece that somebody else runs."""

    name: str

    @property
    def pid(self) -> int | None:
        return None

    def exit_code(self) -> int | None:
        return None

    def start(self) -> None:
        """It runs already; services wait for it if it does not."""

    def stop(self) -> None:
        """It stays as it was found."""

    def kill(self) -> None:
        raise self._refusal("killed")

    def freeze(self) -> None:
        raise self._refusal("frozen")

    def thaw(self) -> None:
        raise self._refusal("thawed")

    def _refusal(self, verb: str) -> StackError:
        return StackError(
            f"{self.name} was given by address and cannot be {verb} from here.",
            "Unset the address to use the embedded one.",
        )


@dataclass(frozen=True, slots=True)
class GivenPostgres(_Given):
    """`TENURE_DATABASE_URL`."""

    url: str

    def url_of(self, database: str) -> str:
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))


@dataclass(frozen=True, slots=True)
class GivenKafka(_Given):
    """`TENURE_KAFKA`."""

    bootstrap: str


def postgres(
    data_dir: Path, port: int, settings: StackSettings, prefer: Prefer = "embedded"
) -> Postgres:
    """The database server by the ladder, not started yet."""
    if settings.database_url:
        return GivenPostgres("PostgreSQL", settings.database_url)
    if _use_docker(settings, prefer):
        from stack.containers import DockerPostgres

        return DockerPostgres(data_dir, port, settings)
    return EmbeddedPostgres(data_dir, port, settings)


def kafka(data_dir: Path, port: int, settings: StackSettings, prefer: Prefer = "embedded") -> Kafka:
    """The broker by the ladder, not started yet."""
    if settings.kafka:
        return GivenKafka("Kafka", settings.kafka)
    if _use_docker(settings, prefer):
        from stack.containers import DockerKafka

        return DockerKafka(data_dir, port, settings)
    return EmbeddedKafka(data_dir, port, settings)


def docker_answers(settings: StackSettings) -> bool:
    """Whether a Docker engine answers in time; a missing socket or server is a plain no."""
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    # The client leaks its socket when nobody listens, so the door is tried first.
    if host.startswith("unix://") and not _listens(host.removeprefix("unix://")):
        return False
    import docker
    from docker.errors import DockerException
    from docker.utils import kwargs_from_env

    client = docker.APIClient(
        **kwargs_from_env(), version=DOCKER_API_VERSION, timeout=settings.docker_answer_seconds
    )
    with contextlib.closing(client):
        try:
            return bool(client.ping())
        except (DockerException, OSError):
            return False


def _listens(socket_path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(socket_path)
        except OSError:
            return False
    return True


def _use_docker(settings: StackSettings, prefer: Prefer) -> bool:
    if prefer == "embedded":
        return False
    found = docker_answers(settings)
    if prefer == "docker-only" and not found:
        raise StackError("No Docker engine answers.", "Start it, or leave out --backing docker.")
    return found


@contextlib.contextmanager
def locked_data_dir(data_dir: Path, settings: StackSettings) -> Iterator[Path]:
    """The data directory, made when new, checked, and held so that no second stack opens it."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        require_space(data_dir, settings.disk_free_mb_min)
        lock = (data_dir / LOCK_NAME).open("a+")
    except OSError as error:
        raise StackError(
            f"{data_dir} cannot be used: {error.strerror or error}.",
            "Choose another place with --data-dir.",
        ) from error
    with lock:
        _hold(lock, data_dir)
        _require_format(data_dir)
        yield data_dir


def _hold(lock: IO[str], data_dir: Path) -> None:
    if not hold(lock):
        lock.seek(0)
        raise StackError(
            f"{data_dir} is in use by another stack (process {lock.read().strip() or 'unknown'}).",
            "Stop that one, or choose another --data-dir (and --port-base).",
        )
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()


def _require_format(data_dir: Path) -> None:
    path = data_dir / "version.json"
    if not path.exists():
        path.write_text(json.dumps({"format": DATA_FORMAT}) + "\n")
        return
    try:
        found = json.loads(path.read_text())["format"]
    except (ValueError, KeyError, TypeError):
        found = "unknown"
    if found != DATA_FORMAT:
        raise StackError(
            f"{data_dir} has data of format {found}, this release reads {DATA_FORMAT}.",
            "Use another --data-dir, or the release of Tenure that wrote it.",
        )


def require_space(data_dir: Path, free_mb_min: int) -> None:
    """Said before a start, because a server that runs out of disk says it in many lines."""
    free_mb = psutil.disk_usage(str(data_dir)).free // MEGABYTE
    if free_mb < free_mb_min:
        raise StackError(
            f"The disk of {data_dir} is full: {free_mb} MB free, {free_mb_min} MB needed.",
            "Free some space, or choose another place with --data-dir.",
        )
