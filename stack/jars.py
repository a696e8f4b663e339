"""Kafka's jars: named with their hashes in `kafka.lock`, fetched once, verified, then used offline.

Each line of the lock is `group:artifact:version sha256`. The jars live in the user's Maven
repository cache (`M2_REPO`, or `~/.m2/repository`), so several clones share one copy.
"""

import argparse
import hashlib
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import requests
from jgo.maven import MavenContext, PythonResolver

from stack.errors import StackError

LOCK_PATH = Path(__file__).with_name("kafka.lock")
KAFKA_VERSION = "4.1.1"
# Kafka itself binds no logger; without the second root a broker that dies would die silently.
ROOTS = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3",
)
DOWNLOADS_AT_ONCE = 8
DOWNLOAD_TIMEOUT_SECONDS = 60
ATTEMPTS_MAX = 3


@dataclass(frozen=True, slots=True, order=True)
class Jar:
    """One locked file."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def coordinate(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


def locked(path: Path = LOCK_PATH) -> tuple[Jar, ...]:
    """The jars of the lock, in the order of the class path."""
    jars = []
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            coordinate, sha256 = line.split()
            group, artifact, version = coordinate.split(":")
            jars.append(Jar(group, artifact, version, sha256))
    return tuple(jars)


def location(jar: Jar, context: MavenContext | None = None) -> Path:
    """Where the jar is, or would be, on this machine."""
    cache = (context or MavenContext()).repo_cache
    name = f"{jar.artifact}-{jar.version}.jar"
    return cache / Path(*jar.group.split(".")) / jar.artifact / jar.version / name


def is_sound(jar: Jar, context: MavenContext | None = None) -> bool:
    """Whether the file is there and is the one that was locked."""
    path = location(jar, context)
    return path.is_file() and _sha256(path) == jar.sha256


def class_path(jars: Iterable[Jar] | None = None) -> list[Path]:
    """Files for Java's class path; nothing is fetched here, so a start needs no network."""
    context = MavenContext()
    paths = [location(jar, context) for jar in (locked() if jars is None else jars)]
    absent = [path.name for path in paths if not path.is_file()]
    if absent:
        raise StackError(
            f"{len(absent)} of Kafka's {len(paths)} jars are missing ({absent[0]}, …).",
            "Run `python -m stack.jars fetch` (in .venv) once with a network.",
        )
    return paths


def fetch(jars: Iterable[Jar] | None = None, context: MavenContext | None = None) -> int:
    """Fetch what is absent or damaged; answers how many files were fetched."""
    context = context or MavenContext(timeout=DOWNLOAD_TIMEOUT_SECONDS)
    wanted = [jar for jar in (locked() if jars is None else jars) if not is_sound(jar, context)]
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        for _ in pool.map(lambda jar: _fetch_one(jar, context), wanted):
            pass
    return len(wanted)


def _fetch_one(jar: Jar, context: MavenContext) -> None:
    """A download that broke off leaves a short file behind: verify, throw away, try again."""
    reason = "its hash differs from the lock"
    for _ in range(ATTEMPTS_MAX):
        location(jar, context).unlink(missing_ok=True)
        try:
            context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
        except (requests.RequestException, OSError, RuntimeError) as error:
            reason = str(error).splitlines()[0] or type(error).__name__
            continue
        if is_sound(jar, context):
            return
    raise StackError(
        f"{jar.coordinate} could not be fetched: {reason}.",
        "Check the network (and the disk), then run `make setup` again.",
    )


def lock(path: Path = LOCK_PATH) -> int:
    """Resolve the roots anew and write the lock; answers the number of jars."""
    context = MavenContext(timeout=DOWNLOAD_TIMEOUT_SECONDS)
    found: dict[tuple[str, str], str] = {}
    for root in ROOTS:
        # One root at a time: resolved together, the managed versions of one displace the other's.
        inputs, transitive = PythonResolver().resolve([context.create_dependency(root)])
        for jar in (*inputs, *transitive):
            line = f"{jar.groupId}:{jar.artifactId}:{jar.version} {_sha256(jar.artifact.resolve())}"
            found.setdefault((jar.groupId, jar.artifactId), line)
    head = f"# Apache Kafka {KAFKA_VERSION} and all it needs, by `python -m stack.jars lock`.\n"
    path.write_text(head + "".join(f"{line}\n" for line in sorted(found.values())))
    return len(found)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> int:
    """`fetch` before the first start, `lock` when a version changes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("fetch", "lock"))
    command = parser.parse_args().command
    try:
        if command == "fetch":
            sys.stdout.write(f"{fetch()} of {len(locked())} jars fetched\n")
        else:
            sys.stdout.write(f"{lock()} jars locked\n")
    except StackError as error:
        sys.stderr.write(f"tenure: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
