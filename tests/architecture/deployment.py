"""What must hold of docker-compose.yml and deploy/, as functions from the files to complaints."""

import importlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Self

import typer
import yaml
from fastapi import FastAPI
from jsonschema import Draft202012Validator

from shared.events.topics import SERVICES
from shared.runtime.service import Service
from shared.runtime.web import OPERATIONS
from stack.cli import app
from stack.ports import Ports
from stack.processes import usual_processes
from stack.settings import StackSettings
from tests.architecture.caddyfile import answer_to, routes

ROOT = Path(__file__).parents[2]
PORTS = Ports.of(None).services
SHARED = {"TENURE_DATABASE_URL", "TENURE_KAFKA", "TENURE_CLOCK", "TENURE_DATA_DIR"}
VARIABLE = re.compile(r"\$\{([A-Z_]+)(:[-?])?([^}]*)\}")
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY$")
# One path, two services: under one host it is the door's; the other's is below /services/.
SHARED_PATHS = {("webhooks", "/v1/event-types")}


@dataclass(frozen=True, slots=True)
class Deployment:
    """The files, parsed or as text. `folder` is where relative paths begin."""

    compose: dict[str, Any]
    compose_text: str
    dockerfile: str
    caddyfile: str
    prometheus: dict[str, Any]
    rules: dict[str, Any]
    dashboard: dict[str, Any]
    datasources: dict[str, Any]
    providers: dict[str, Any]
    readme: str
    example: str
    folder: Path = ROOT

    @classmethod
    def of(cls, root: Path) -> Self:
        """Reads the files of a project."""
        deploy = root / "deploy"
        provisioning = deploy / "grafana" / "provisioning"
        text = (root / "docker-compose.yml").read_text()
        return cls(
            compose=yaml.safe_load(text),
            compose_text=text,
            dockerfile=(deploy / "Dockerfile").read_text(),
            caddyfile=(deploy / "Caddyfile").read_text(),
            prometheus=_yaml(deploy / "prometheus" / "prometheus.yml"),
            rules=_yaml(deploy / "prometheus" / "rules.yml"),
            dashboard=json.loads((deploy / "grafana" / "dashboards" / "tenure.json").read_text()),
            datasources=_yaml(provisioning / "datasources" / "prometheus.yml"),
            providers=_yaml(provisioning / "dashboards" / "tenure.yml"),
            readme=(deploy / "README.md").read_text(),
            example=(deploy / "example.env").read_text(),
        )

    @property
    def services(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self.compose["services"]
        return found

    def ours(self) -> dict[str, dict[str, Any]]:
        """What runs from our image."""
        return {name: one for name, one in self.services.items() if "build" in one}

    def serving(self) -> dict[str, dict[str, Any]]:
        """What runs `tenure serve`, with the parsed parameters under `parameters`."""
        return {
            name: {**one, "parameters": parameters(one["command"])}
            for name, one in self.ours().items()
            if one["command"][0] == "serve"
        }

    def with_text(self, text: str) -> Self:
        """The same with another docker-compose.yml."""
        return replace(self, compose=yaml.safe_load(text), compose_text=text)


Check = Callable[[Deployment], Iterator[str]]


def _yaml(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


@cache
def built(name: str) -> Service:
    """A service as its composition root makes it."""
    service = importlib.import_module(f"services.{name}.main").build()
    assert isinstance(service, Service)
    return service


def parameters(command: list[str]) -> dict[str, Any]:
    """A `tenure` command parsed by the Typer app itself; a wrong one raises its error."""
    group: Any = typer.main.get_command(app)
    name, *rest = command
    if name not in group.commands:
        raise ValueError(f"there is no `tenure {name}`")
    found: dict[str, Any] = group.commands[name].make_context(name, list(rest)).params
    return found


def follows_the_schema(deployment: Deployment) -> Iterator[str]:
    """The Compose specification's own schema."""
    schema = json.loads((ROOT / "tests" / "fixtures" / "compose-spec.json").read_text())
    for error in Draft202012Validator(schema).iter_errors(deployment.compose):
        yield f"{error.json_path}: {error.message[:200]}"


def commands_exist(deployment: Deployment) -> Iterator[str]:
    """The processes of `tenure up`, with its commands, and one that prepares."""
    for name, one in deployment.ours().items():
        try:
            parameters(one["command"])
        except Exception as error:
            yield f"{name}: {error}"
            return
    expected = {
        plan.name: (plan.service, frozenset(plan.roles)) for plan in usual_processes(Ports.of(None))
    }
    found = {
        name: (one["parameters"]["service"], frozenset(one["parameters"]["roles"].split(",")))
        for name, one in deployment.serving().items()
    }
    if found != expected:
        yield f"processes are {found}, `tenure up` starts {expected}"
    if deployment.services.get("migrate", {}).get("command") != ["migrate"]:
        yield "nothing migrates"


def ports_are_the_contracts(deployment: Deployment) -> Iterator[str]:
    """Served, checked and published where DESIGN and `tenure up` have them."""
    for name, one in deployment.serving().items():
        port = PORTS[one["parameters"]["service"]]
        if one["parameters"]["port"] != port:
            yield f"{name} serves on {one['parameters']['port']}, not {port}"
        if f"http://127.0.0.1:{port}/" not in " ".join(one["healthcheck"]["test"]):
            yield f"{name} is not checked on {port}"
        wanted = [f"127.0.0.1:{port}:{port}"] if "api" in one["parameters"]["roles"] else []
        if one.get("ports", []) != wanted:
            yield f"{name} publishes {one.get('ports')}, not {wanted}"


def health_is_asked_for(deployment: Deployment) -> Iterator[str]:
    """By readiness, which exists; and who waits for health waits for somebody who has it."""
    for name, one in deployment.serving().items():
        asked = re.findall(r"http://127\.0\.0\.1:\d+(/\w+)", " ".join(one["healthcheck"]["test"]))
        if asked != ["/readyz"] or asked[0] not in OPERATIONS:
            yield f"{name} is asked for {asked}"
    for name, one in deployment.services.items():
        needed = one.get("depends_on", {})
        for other, how in needed.items() if isinstance(needed, dict) else ():
            target = deployment.services.get(other)
            if target is None:
                yield f"{name} waits for {other}, which does not exist"
            elif how["condition"] == "service_healthy" and "healthcheck" not in target:
                yield f"{name} waits for the health of {other}, which has none"
            elif (how["condition"] == "service_completed_successfully") != (other == "migrate"):
                yield f"{name} waits for {other} to end"
        if other_names := set(needed) - set(deployment.services):
            yield f"{name} needs {other_names}"


def variables_are_settings(deployment: Deployment) -> Iterator[str]:
    """Every variable is a field of that service's settings, and its default is valid there."""
    stack = {f"TENURE_{field.upper()}" for field in StackSettings.model_fields}
    for name, one in deployment.ours().items():
        values = {key: _default(str(value)) for key, value in one["environment"].items()}
        prefix = f"{one['command'][1].upper()}_" if one["command"][0] == "serve" else "TENURE_"
        for key in values:
            if key in SHARED:
                continue
            if prefix == "TENURE_" and key in stack:
                continue
            if not key.startswith(prefix):
                yield f"{name} is given {key}, which it does not read"
        if prefix != "TENURE_":
            yield from _invalid(name, one["command"][1], prefix, values)


def _invalid(name: str, service: str, prefix: str, values: Mapping[str, str]) -> Iterator[str]:
    settings: Any = type(built(service).settings)
    given = {
        key.removeprefix(prefix).removeprefix("TENURE_").lower(): value
        for key, value in values.items()
    }
    for field in sorted(given.keys() - settings.model_fields.keys()):
        yield f"{name}: {settings.__name__} has no {field}"
    try:
        made = settings(**{key: given[key] for key in given.keys() & settings.model_fields.keys()})
    except ValueError as error:
        yield f"{name}: {error}"
    else:
        if made.http_host == "127.0.0.1":
            yield f"{name} listens on its own loopback only"


def _default(value: str) -> str:
    return VARIABLE.sub(lambda found: found[3] if found[2] == ":-" else "x", value)


def secrets_are_asked_for(deployment: Deployment) -> Iterator[str]:
    """None is in the file; every variable a person can set is in the README's table."""
    for name, one in deployment.services.items():
        for key, value in one.get("environment", {}).items():
            if SECRET.search(key) and not re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", str(value)):
                yield f"{name}: {key} is not asked for"
    code = "\n".join(
        line for line in deployment.compose_text.splitlines() if not line.lstrip().startswith("#")
    )
    asked = {name: how for name, how, _ in VARIABLE.findall(code)}
    told = set(re.findall(r"^\| `([A-Z_]+)` \|", deployment.readme, re.M))
    if asked.keys() != told:
        yield f"deploy/README.md and the file differ in {sorted(asked.keys() ^ told)}"
    for name, how in asked.items():
        if not how:
            yield f"{name} has neither a default nor a message"
        if (how == ":?") != (f"\n{name}=\n" in deployment.example):
            yield f"{name} is in example.env if and only if it has no default"


def volumes_exist(deployment: Deployment) -> Iterator[str]:
    """Files are there, named volumes declared and used, ours mounted where the code keeps data."""
    used: set[str] = set()
    home = re.search(r"TENURE_DATA_DIR=(\S+)", deployment.dockerfile)
    for name, one in deployment.services.items():
        for volume in one.get("volumes", []):
            source, target, *_ = volume.split(":")
            if source.startswith("."):
                if not (deployment.folder / source).exists():
                    yield f"{name} mounts {source}, which does not exist"
                continue
            used.add(source)
            if name in deployment.ours() and (home is None or target != home[1]):
                yield f"{name} keeps data in {target}, the image in {home and home[1]}"
        data_dir = one.get("environment", {}).get("TENURE_DATA_DIR")
        if name in deployment.ours() and (home is None or data_dir != home[1]):
            yield f"{name} is told to keep data in {data_dir}"
    if used != set(deployment.compose["volumes"]):
        yield f"volumes used and declared differ in {used ^ set(deployment.compose['volumes'])}"


def images_are_pinned(deployment: Deployment) -> Iterator[str]:
    """One image of ours; the others by version, and those of tests the same as here."""
    ours = {one["image"] for one in deployment.ours().values()}
    if len(ours) != 1:
        yield f"our services run {sorted(ours)}"
    for name, one in deployment.services.items():
        tag = _default(one["image"]).rpartition(":")[2]
        if not re.fullmatch(r"v?\d+(\.\d+)+", tag):
            yield f"{name}: {one['image']} is not pinned"
    settings = StackSettings()
    for name, image in (
        ("postgres", settings.docker_postgres_image),
        ("kafka", settings.docker_kafka_image),
    ):
        if not deployment.services[name]["image"].startswith(image):
            yield f"{name} is {deployment.services[name]['image']}, tests run {image}"


def processes_are_bounded(deployment: Deployment) -> Iterator[str]:
    """Memory, restarts, rights and logs have limits."""
    for name, one in deployment.services.items():
        if "mem_limit" not in one:
            yield f"{name} has no memory limit"
        if one.get("restart") != ("no" if name == "migrate" else "unless-stopped"):
            yield f"{name} restarts {one.get('restart')}"
        if "no-new-privileges:true" not in one.get("security_opt", []):
            yield f"{name} may gain privileges"
        # Its image writes its configuration when it starts.
        if not one.get("read_only") and name != "kafka":
            yield f"{name} can write to its image"
        if "max-size" not in one.get("logging", {}).get("options", {}):
            yield f"{name} logs without end"
    if '\nENTRYPOINT ["tenure"]\n' not in deployment.dockerfile:
        yield "the image does not run tenure"
    if not re.search(r"^USER [1-9]\d*:[1-9]\d*$", deployment.dockerfile, re.M):
        yield "the image runs as root"
    if "--no-deps --require-hashes -r runtime.lock" not in deployment.dockerfile:
        yield "packages are installed without their hashes"


def paths_reach_their_service(deployment: Deployment) -> Iterator[str]:
    """Every route of every service, under one host and below its name; nothing of operators."""
    known = routes(deployment.caddyfile)
    upstreams = {f"{name}:{port}" for name, port in PORTS.items()}
    for answer in sorted({route.answer for route in known} - upstreams - {"404"}):
        yield f"no service is at {answer}"
    for name in SERVICES:
        upstream = f"{name}:{PORTS[name]}"
        edge = FastAPI()
        edge.include_router(built(name).router)
        for template in edge.openapi()["paths"]:
            path = re.sub(r"\{\w+(:\w+)?\}", "x-1", template)
            if (name, template) not in SHARED_PATHS and answer_to(path, known) != upstream:
                yield f"{template} of {name} goes to {answer_to(path, known)}"
            if answer_to(f"/services/{name}{path}", known) != upstream:
                yield f"/services/{name}{path} goes astray"
        for path in OPERATIONS:
            for shown in (path, f"/services/{name}{path}"):
                if answer_to(shown, known) != "404":
                    yield f"{shown} is open to the outside"


CHECKS: tuple[Check, ...] = (
    follows_the_schema,
    commands_exist,
    ports_are_the_contracts,
    health_is_asked_for,
    variables_are_settings,
    secrets_are_asked_for,
    volumes_exist,
    images_are_pinned,
    processes_are_bounded,
    paths_reach_their_service,
)
