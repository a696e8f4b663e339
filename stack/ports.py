"""Ports on loopback: which are free, who holds the others, and the eight a stack uses."""

import contextlib
import secrets
import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import psutil

from stack.errors import StackError
from stack.settings import LOOPBACK

SERVICES = ("insights", "ingest", "scoring", "campaigns", "loyalty", "webhooks")
CONNECT_SECONDS = 0.5
# Below Linux's ephemeral range (32768…): a client that keeps trying to reach a piece that is down
# could be given that very port as its source, connect to itself, and hold the port for good.
PRIVATE_FIRST = 20_000
PRIVATE_LAST = 32_000


@dataclass(frozen=True, slots=True)
class Ports:
    """Services in the order of `SERVICES`, then PostgreSQL and Kafka."""

    services: dict[str, int]
    postgres: int
    kafka: int

    @classmethod
    def of(cls, base: int | None) -> "Ports":
        """The usual ones, or eight in a row."""
        if base is None:
            return cls({name: 8000 + at for at, name in enumerate(SERVICES)}, 5432, 9092)
        return cls({name: base + at for at, name in enumerate(SERVICES)}, base + 6, base + 7)

    def named(self) -> dict[str, int]:
        return {**self.services, "PostgreSQL": self.postgres, "Kafka": self.kafka}


def is_free(port: int) -> bool:
    """Whether a server could listen there now; connections that are merely fading do not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        socket.create_connection((LOOPBACK, port), CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def holder(port: int) -> str | None:
    """`name (process 123)` of who listens on a port, when the system lets us know."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr
                and connection.laddr.port == port
                and connection.pid
            ):
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return None


def require_free(port: int, purpose: str) -> None:
    """A port in use is the person's to settle: say which, who has it and how to go round it."""
    if is_free(port):
        return
    who = holder(port)
    raise StackError(
        f"Port {port}, wanted for {purpose}, is in use{f' by {who}' if who else ''}.",
        "Stop that, or choose other ports with --port-base.",
    )


def free_base(count: int = 8, avoid: Collection[int] = ()) -> int:
    """The first of `count` free ports in a row, out of reach of ephemeral ports."""
    bases = PRIVATE_LAST - PRIVATE_FIRST - count
    begin = secrets.randbelow(bases)
    for step in range(bases):
        base = PRIVATE_FIRST + (begin + step) % bases
        wanted = range(base, base + count)
        if not any(port in avoid for port in wanted) and all(map(is_free, wanted)):
            return base
    raise StackError(f"No {count} free ports in a row were found.", "Close some servers.")


def free_ports(count: int, avoid: Collection[int] = ()) -> Iterable[int]:
    """`count` free ports, none of those to avoid."""
    base = free_base(count, avoid)
    return range(base, base + count)
