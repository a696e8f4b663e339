"""What holds for every service: routes have scopes, tables equal migrations, settings are told."""

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from shared.events.topics import SERVICES, TOPICS
from shared.runtime import tables as runtime_tables
from shared.runtime.db import asyncpg_url
from shared.runtime.failpoints import FAIL_POINTS
from shared.runtime.health import Health
from shared.runtime.http import Requires
from shared.runtime.migrate import migrate
from shared.runtime.service import Service
from shared.runtime.settings import RuntimeSettings
from shared.runtime.web import make_app
from stack.reference import stale_settings

ROOT = Path(__file__).parents[2]


def build(name: str) -> Service:
    built = importlib.import_module(f"services.{name}.main").build()
    assert isinstance(built, Service)
    return built


def app_of(service: Service) -> FastAPI:
    edge = make_app(service, lambda: None, Health(), "test")  # type: ignore[arg-type, return-value]
    assert isinstance(edge.app, FastAPI)
    return edge.app


def dependencies(dependant: Dependant) -> Iterator[object]:
    for one in dependant.dependencies:
        yield one.call
        yield from dependencies(one)


@pytest.mark.parametrize("name", SERVICES)
def test_every_route_asks_for_a_scope_or_is_public_on_purpose(name: str) -> None:
    open_routes = [
        route.path
        for route in app_of(build(name)).routes
        if isinstance(route, APIRoute)
        and not (route.openapi_extra or {}).get("x-public")
        and not (route.openapi_extra or {}).get("x-scope")
        and not any(isinstance(call, Requires) for call in dependencies(route.dependant))
    ]
    assert not open_routes


@pytest.mark.parametrize("name", SERVICES)
async def test_migrations_from_zero_give_exactly_the_tables(name: str, database_url: str) -> None:
    service = build(name)
    await migrate(database_url, name, service.migrations)
    both = sa.MetaData()
    for metadata in (runtime_tables.METADATA, service.metadata):
        for table in metadata.tables.values():
            table.to_metadata(both)
    engine = create_async_engine(
        asyncpg_url(database_url),
        poolclass=NullPool,
        connect_args={"server_settings": {"search_path": name}},
    )
    async with engine.connect() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(
                MigrationContext.configure(
                    sync, opts={"compare_type": True, "include_name": _ours}
                ),
                both,
            )
        )
    await engine.dispose()
    assert not differences


def _ours(name: str | None, kind: str, _parents: object) -> bool:
    return not (kind == "table" and name in {"runtime_version", "service_version"})


@pytest.mark.parametrize("name", SERVICES)
async def test_migrating_twice_changes_nothing(name: str, database_url: str) -> None:
    service = build(name)
    await migrate(database_url, name, service.migrations)
    await migrate(database_url, name, service.migrations)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_reads_what_the_catalogue_says_it_reads(name: str) -> None:
    subscribed = {one.topic.name for one in build(name).subscriptions}
    catalogued = {
        topic.name
        for topic in TOPICS
        if name in topic.readers and not topic.name.endswith((".dead", ".retry", ".keys"))
    }
    assert subscribed == catalogued


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_its_identity_card(name: str) -> None:
    card = (ROOT / "services" / name / "README.md").read_text()
    for part in ("onsumes", "ublishes", "wns", "nvariants", "fails"):
        assert part in card, f"the README does not tell what it {part}"


def test_the_settings_reference_says_what_the_code_says() -> None:
    assert stale_settings(ROOT) == [], "run: tenure events"


@pytest.mark.parametrize("name", SERVICES)
def test_every_setting_is_in_the_reference(name: str) -> None:
    told = (ROOT / "docs" / "settings.md").read_text()
    settings = type(build(name).settings)
    own = set(settings.model_fields) - set(RuntimeSettings.model_fields)
    assert not [field for field in own if f"`{name.upper()}_{field.upper()}`" not in told]


def test_every_fail_point_is_reached_somewhere() -> None:
    code = "\n".join(
        path.read_text()
        for folder in ("services", "shared/runtime")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "failpoints.py"
    )
    # The gaps around a commit are named by whoever opens the transaction.
    commits = {
        f"{gap}.{moment}"
        for gap in ("consumer", "request")
        for moment in ("before_commit", "after_commit")
        if f'"{gap}"' in code and f'"{moment}"' in code
    }
    assert not [name for name in FAIL_POINTS if f'"{name}"' not in code and name not in commits]


def test_build_reads_settings_only_when_called() -> None:
    for name in SERVICES:
        signature = inspect.signature(importlib.import_module(f"services.{name}.main").build)
        assert signature.parameters["settings"].default is None
