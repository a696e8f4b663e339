"""`tenure up` beside another stack, as a person has it: commands, letters, an end, going on."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from shared.runtime.kafka import KafkaLog
from shared.runtime.log import Outgoing
from shared.runtime.settings import RuntimeSettings
from stack.platform import Platform
from stack.ports import Ports, free_base, is_free
from stack.waiting import wait_for

TENURE = (sys.executable, "-m", "stack.cli")
COMMAND_SECONDS = 120
PATIENCE_SECONDS = 60
ACCEPTED, UNAVAILABLE = 202, 503


@dataclass(slots=True)
class Stack:
    """One `tenure up` on a data directory and ports of its own."""

    folder: Path
    base: int = field(default_factory=free_base)
    process: "subprocess.Popen[str] | None" = None

    def up(self) -> str:
        """Starts it and waits for its table; answers what stands there."""
        self.process = subprocess.Popen(
            [*TENURE, "up", "--data-dir", str(self.folder), "--port-base", str(self.base)],
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        shown = ""
        for line in self.process.stdout:
            shown += line
            if line.startswith("logs"):
                return shown
        raise AssertionError(f"it ended with {self.process.wait()} instead: {shown}")

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(COMMAND_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None
        return code

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{Ports.of(self.base).services[service]}"

    def tenure(self, *arguments: str) -> str:
        """A command about this stack, as typed in another terminal."""
        done = subprocess.run(
            [*TENURE, *arguments, "--data-dir", str(self.folder)],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def post(self, order_id: str, key: str) -> None:
        data = {"order_id": order_id, "total": "120.00", "currency": "GBP"}
        event = {"type": "order.completed", "customer_id": "ada", "data": data}
        # As any client does: 503 promises nothing, and is sent again.
        assert wait_for(lambda: self._posted(event, key) == ACCEPTED, PATIENCE_SECONDS)

    def _posted(self, event: object, key: str) -> int:
        url = f"{self.url('ingest')}/v1/events"
        status = httpx.post(
            url, json=event, headers=bearer(key), trust_env=False, timeout=PATIENCE_SECONDS
        ).status_code
        assert status in {ACCEPTED, UNAVAILABLE}
        return status

    def points(self, key: str) -> int:
        url = f"{self.url('loyalty')}/v1/members/ada"
        reply = httpx.get(url, headers=bearer(key), trust_env=False, timeout=PATIENCE_SECONDS)
        return int(reply.json()["balance"]["active"]) if reply.is_success else 0

    def letters(self) -> list[dict[str, str]]:
        listed = self.tenure("dead-letters", "list", "--service", "loyalty", "--json")
        return [json.loads(line) for line in listed.splitlines()]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("TENURE_")}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def stack() -> Iterator[Stack]:
    folder = Path(tempfile.mkdtemp(prefix="tenure-e2e-"))
    made = Stack(folder)
    # Whoever started the tests with `nohup` would have the stack ignore what it is sent below.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield made
    if made.process is not None:
        made.end(signal.SIGTERM)
    signal.signal(signal.SIGHUP, before)
    shutil.rmtree(folder, ignore_errors=True)


def put_nonsense(bootstrap: str) -> None:
    """A record that no release of Tenure wrote."""

    async def write() -> None:
        writer = KafkaLog(RuntimeSettings(kafka=bootstrap)).writer()
        await writer.write([Outgoing("ingest.events", b"ada", b"{nonsense")])
        await writer.stop()

    asyncio.run(write())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_stacks_run_side_by_side_and_one_ends_and_goes_on(
    stack: Stack, platform: Platform
) -> None:
    assert "Tenure is ready" in stack.up()
    keys = json.loads((stack.folder / "keys.json").read_text())
    made = json.loads(stack.tenure("keys", "create", "--scope", "read", "--json"))
    assert made["scope"] == "read"
    stack.post("o-1", keys["ingest"])
    assert wait_for(lambda: stack.points(made["key"]) == 120, PATIENCE_SECONDS)
    # The other stack knows neither the customer nor the key.
    member = f"{platform.urls['loyalty']}/v1/members/ada"
    for key, status in ((platform.keys["read"], 404), (made["key"], 401)):
        assert httpx.get(member, headers=bearer(key), trust_env=False).status_code == status

    put_nonsense(json.loads((stack.folder / "addresses.json").read_text())["kafka"])
    assert wait_for(lambda: len(stack.letters()) == 1, PATIENCE_SECONDS)
    assert "1 sent again" in stack.tenure("dead-letters", "replay", "--service", "loyalty")
    # It is still nonsense, and comes back as a new letter; what was sent is not sent twice.
    assert wait_for(lambda: len(stack.letters()) == 2, PATIENCE_SECONDS)
    assert {letter["topic"] for letter in stack.letters()} == {"ingest.events"}
    assert "1 sent again" in stack.tenure("dead-letters", "replay", "--service", "loyalty")

    assert stack.end(signal.SIGTERM) == 0
    assert all(map(is_free, Ports.of(stack.base).named().values()))
    assert not (stack.folder / "addresses.json").exists()
    stack.up()
    assert json.loads((stack.folder / "keys.json").read_text()) == keys
    stack.post("o-1", keys["ingest"])
    stack.post("o-2", keys["ingest"])
    assert wait_for(lambda: stack.points(made["key"]) == 240, PATIENCE_SECONDS)
    assert stack.end(signal.SIGHUP) == 0
