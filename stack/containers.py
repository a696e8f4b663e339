"""PostgreSQL and Kafka in containers, through testcontainers: the same pieces, the same verbs.

Data is in named volumes derived from the data directory, so that a second start goes on; the reaper
of testcontainers removes the containers when the launcher is gone.
"""

import hashlib
import secrets
import signal
from pathlib import Path
from urllib.parse import quote

from docker.errors import DockerException
from docker.models.containers import Container
from testcontainers.core.container import DockerContainer

from stack.errors import StackError
from stack.ports import require_free
from stack.settings import LOOPBACK, StackSettings
from stack.waiting import wait_for

POSTGRES_PORT = 5432
KAFKA_PORT = 9092
USER = "tenure"


class _Piece:
    """A container that is stopped, killed, frozen and started again as one and the same."""

    def __init__(self, name: str, port: int, start_seconds: float, stop_seconds: float) -> None:
        self.name = name
        self.port = port
        self._start_seconds = start_seconds
        self._stop_seconds = stop_seconds
        self._container: Container | None = None

    def describe(self) -> DockerContainer:
        raise AssertionError("each piece describes itself")

    def says_ready(self, log: str) -> bool:
        raise AssertionError(f"each piece knows its own words: {log[:80]}")

    @property
    def pid(self) -> int | None:
        """The process id on the engine's side, while it runs."""
        if self._container is None:
            return None
        self._container.reload()
        state = self._container.attrs["State"]
        return int(state["Pid"]) if state["Running"] else None

    def exit_code(self) -> int | None:
        if self._container is None or self.pid is not None:
            return None
        return int(self._container.attrs["State"]["ExitCode"])

    def start(self) -> None:
        """Create the first time, start again afterwards; returns when it is ready."""
        if self.pid is not None:
            return
        require_free(self.port, self.name)
        try:
            if self._container is None:
                self._container = self.describe().start().get_wrapped_container()
            else:
                self._container.start()
            self._container.reload()
            since = self._container.attrs["State"]["StartedAt"]
        except DockerException as error:
            raise StackError(
                f"Docker could not start {self.name}: {str(error).splitlines()[0]}.",
                "Look at the engine, or leave out --backing docker.",
            ) from error
        container = self._container

        def is_ready() -> bool:
            log = container.logs(since=_seconds(since)).decode(errors="replace")
            return self.says_ready(log)

        if not wait_for(is_ready, self._start_seconds):
            raise StackError(
                f"{self.name} in Docker was not ready after {self._start_seconds:.0f} s.",
                f"See `docker logs {container.short_id}`.",
            )

    def stop(self) -> None:
        if self.pid is not None and self._container:
            self._container.stop(timeout=int(self._stop_seconds))

    def kill(self) -> None:
        if self.pid is not None and self._container:
            self._container.kill(signal=signal.SIGKILL.name)
            self._container.wait(timeout=self._stop_seconds)

    def freeze(self) -> None:
        assert self._container is not None, f"{self.name} is not running"
        self._container.pause()

    def thaw(self) -> None:
        assert self._container is not None, f"{self.name} is not running"
        self._container.unpause()


class DockerPostgres(_Piece):
    """`postgres:18` with its data in a volume."""

    def __init__(self, data_dir: Path, port: int, settings: StackSettings) -> None:
        super().__init__(
            "PostgreSQL", port, settings.postgres_start_seconds, settings.postgres_stop_seconds
        )
        self._settings = settings
        self._volume = _volume(data_dir, "postgres")
        self._password_path = data_dir.resolve() / "postgres.docker.password"

    @property
    def url(self) -> str:
        return self.url_of(USER)

    def url_of(self, database: str) -> str:
        password = quote(self._password())
        return f"postgresql://{USER}:{password}@{LOOPBACK}:{self.port}/{database}"

    def describe(self) -> DockerContainer:
        limit = self._settings.postgres_connections_max
        container = DockerContainer(self._settings.docker_postgres_image)
        container.with_env("POSTGRES_USER", USER).with_env("POSTGRES_PASSWORD", self._password())
        container.ports[str(POSTGRES_PORT)] = (LOOPBACK, self.port)  # type: ignore[assignment]
        container.with_volume_mapping(self._volume, "/var/lib/postgresql", "rw")
        return container.with_command(f"postgres -c max_connections={limit} -c fsync=on")

    def says_ready(self, log: str) -> bool:
        # The first start serves its own initialisation before it serves us.
        begun_anew = "PostgreSQL init process complete" in log
        initialising = "The files belonging to this database system" in log
        ready = log.rfind("database system is ready to accept connections")
        done = log.rfind("PostgreSQL init process complete")
        return ready > done if begun_anew or not initialising else False

    def _password(self) -> str:
        if not self._password_path.exists():
            self._password_path.touch(mode=0o600)
            self._password_path.write_text(secrets.token_urlsafe(24))
        return self._password_path.read_text().strip()


class DockerKafka(_Piece):
    """`apache/kafka`, one KRaft node, advertised on loopback."""

    def __init__(self, data_dir: Path, port: int, settings: StackSettings) -> None:
        super().__init__("Kafka", port, settings.kafka_start_seconds, settings.kafka_stop_seconds)
        self._settings = settings
        self._volume = _volume(data_dir, "kafka")

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def describe(self) -> DockerContainer:
        from stack.kafka import ONE_NODE

        properties = {
            "node.id": "1",
            "process.roles": "broker,controller",
            "listeners": f"PLAINTEXT://:{KAFKA_PORT},CONTROLLER://:9093",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "controller.quorum.voters": "1@localhost:9093",
            "log.dirs": "/var/lib/kafka/data",
            "num.partitions": str(self._settings.kafka_partitions),
            "auto.create.topics.enable": "false",
            **ONE_NODE,
            **self._settings.kafka_settings,
        }
        container = DockerContainer(self._settings.docker_kafka_image)
        for name, value in properties.items():
            container.with_env(f"KAFKA_{name.upper().replace('.', '_')}", value)
        container.with_env("KAFKA_HEAP_OPTS", f"-Xmx{self._settings.kafka_heap_mb}m")
        container.ports[str(KAFKA_PORT)] = (LOOPBACK, self.port)  # type: ignore[assignment]
        return container.with_volume_mapping(self._volume, "/var/lib/kafka/data", "rw")

    def says_ready(self, log: str) -> bool:
        return "Kafka Server started" in log


def _volume(data_dir: Path, piece: str) -> str:
    return f"tenure-{hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]}-{piece}"


def _seconds(instant: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(instant[:19] + "+00:00").timestamp()
