"""What must hold of deploy/prometheus and deploy/grafana, in the manner of `deployment`."""

import re
from collections.abc import Iterator

from shared.runtime.metrics import REGISTRY
from shared.runtime.web import OPERATIONS
from tests.architecture.deployment import PORTS, Check, Deployment


def everybody_is_scraped(deployment: Deployment) -> Iterator[str]:
    """Prometheus asks every process, where it answers."""
    expected = {
        (name, PORTS[one["parameters"]["service"]], one["parameters"]["service"])
        for name, one in deployment.serving().items()
    }
    found = set()
    for job in deployment.prometheus["scrape_configs"]:
        if job["metrics_path"] not in OPERATIONS:
            yield f"nothing is at {job['metrics_path']}"
        for group in job["static_configs"]:
            for target in group["targets"]:
                host, _, port = target.partition(":")
                found.add((host, int(port), group["labels"]["service"]))
    if found != expected:
        yield f"scraped and running differ in {sorted(found ^ expected)}"


def metrics_exist(deployment: Deployment) -> Iterator[str]:
    """Dashboard and alerts speak of metrics and labels that the catalogue has."""
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    names = {
        family.name + suffix for family in REGISTRY.collect() for suffix in suffixes[family.type]
    } | {"up"}
    labels = {"service", "job", "instance", "le"} | {
        label for one in REGISTRY._collector_to_names for label in getattr(one, "_labelnames", ())
    }
    for where, expression in _expressions(deployment):
        bare = re.sub(r'"[^"]*"|\[[^\]]*\]|\b(by|without) \([^)]*\)', "", expression)
        plain = re.sub(r"\{[^}]*\}", "", bare)
        for name in set(re.findall(r"\b[a-z]\w*_\w+|\bup\b", plain)) - {"histogram_quantile"}:
            if name not in names:
                yield f"{where}: there is no metric {name}"
        grouped = re.findall(r"\b(?:by|without) \(([^)]*)\)", expression)
        used = {label.strip() for group in grouped for label in group.split(",")}
        used |= set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression))
        for label in sorted(used - labels):
            yield f"{where}: there is no label {label}"


def _expressions(deployment: Deployment) -> Iterator[tuple[str, str]]:
    for panel in deployment.dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for group in deployment.rules["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def the_dashboard_is_provisioned(deployment: Deployment) -> Iterator[str]:
    """Grafana finds the dashboard, and the dashboard its data."""
    sources = {one["uid"]: one["url"] for one in deployment.datasources["datasources"]}
    for panel in deployment.dashboard["panels"]:
        if panel["datasource"]["uid"] not in sources:
            yield f"{panel['title']} asks {panel['datasource']['uid']}"
    for url in sources.values():
        host = re.fullmatch(r"http://(\w+):(\d+)", url)
        if host is None or host[1] not in deployment.services:
            yield f"no service is at {url}"
    mounted = {volume.split(":")[1] for volume in deployment.services["grafana"]["volumes"]}
    for provider in deployment.providers["providers"]:
        if provider["options"]["path"] not in mounted:
            yield f"nothing is mounted at {provider['options']['path']}"


CHECKS: tuple[Check, ...] = (everybody_is_scraped, metrics_exist, the_dashboard_is_provisioned)
