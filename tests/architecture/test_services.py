"""What holds for every service: routes have scopes, tables equal migrations, settings are told."""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from shared.events.keys import Scope
from shared.events.topics import SERVICES, TOPICS
from shared.runtime import tables as runtime_tables
from shared.runtime.db import asyncpg_url
from shared.runtime.failpoints import FAIL_POINTS
from shared.runtime.health import Health
from shared.runtime.http import CanOperate, CanRead
from shared.runtime.migrate import migrate
from shared.runtime.service import Service
from shared.runtime.settings import RuntimeSettings
from shared.runtime.web import make_app
from shared.testing.harness import running
from stack.reference import stale_settings, write_settings
from stack.settings import StackSettings
from tests.architecture.routes import complaints
from tests.architecture.schemas import described
from tests.fixtures.backing import run_sql

ROOT = Path(__file__).parents[2]


Build = Callable[..., Service]


def builder(name: str) -> Build:
    found: Build = importlib.import_module(f"services.{name}.main").build
    return found


def build(name: str) -> Service:
    built = builder(name)()
    assert isinstance(built, Service)
    return built


ALL_SCOPES: tuple[Scope, ...] = ("ingest", "read", "operate", "admin")


async def complaints_about(build: Build, database_url: str) -> list[str]:
    async with running(build, database_url, consume=False) as one:
        app = make_app(one.service, lambda: None, Health(), "test").app  # type: ignore[arg-type, return-value]
        return await complaints(app, one.client, {scope: one.key(scope) for scope in ALL_SCOPES})


@pytest.mark.parametrize("name", SERVICES)
def test_every_table_is_found_under_its_own_name(name: str) -> None:
    tables = importlib.import_module(f"services.{name}.tables")
    named = {key: one.name for key, one in vars(tables).items() if isinstance(one, sa.Table)}

    assert named == {one.upper(): one for one in tables.METADATA.tables}


@pytest.mark.parametrize("name", SERVICES)
async def test_every_route_refuses_who_has_no_key_or_one_of_another_scope(
    name: str, database_url: str
) -> None:
    assert not await complaints_about(builder(name), database_url)


async def test_a_route_that_lets_everybody_in_is_noticed(database_url: str) -> None:
    router = APIRouter(prefix="/v1")

    @router.get("/open")
    async def open_to_all() -> None: ...

    @router.get("/said", openapi_extra={"x-scope": "admin"})
    async def merely_declared() -> None: ...

    @router.get("/public", openapi_extra={"x-public": True})
    async def not_public(_: CanRead) -> None: ...

    @router.get("/fine/{one}")
    async def fine(one: int, _: CanOperate) -> None: ...

    async def plain(_request: Request) -> Response:
        return Response()

    router.add_route("/plain", plain)
    found = await complaints_about(
        lambda settings=None: replace(builder("insights")(settings), router=router), database_url
    )
    assert found == [
        "GET /v1/open answers 200 without a key",
        "GET /v1/said answers 200 without a key",
        "GET /v1/public says it is public and is not",
        "GET /plain answers 200 without a key",
    ]


async def schemas_of(
    service: Service, make_database: Callable[..., str]
) -> tuple[set[tuple[str, ...]], set[tuple[str, ...]], str]:
    """What migrations from zero made, what the tables would make, and where the latter is."""
    migrated, made = make_database(), make_database()
    await migrate(migrated, service.name, service.migrations)
    engine = create_async_engine(
        asyncpg_url(made),
        poolclass=NullPool,
        connect_args={"server_settings": {"search_path": service.name}},
    )
    async with engine.begin() as connection:
        await connection.execute(sa.text(f'CREATE SCHEMA "{service.name}"'))
        for metadata in (runtime_tables.METADATA, service.metadata):
            await connection.run_sync(metadata.create_all)
    await engine.dispose()
    return await described(migrated, service.name), await described(made, service.name), made


@pytest.mark.parametrize("name", SERVICES)
async def test_migrations_from_zero_give_exactly_the_tables(
    name: str, make_database: Callable[..., str]
) -> None:
    by_migrations, by_tables, _ = await schemas_of(build(name), make_database)
    assert by_migrations
    assert by_migrations ^ by_tables == set()


CHANGES = (
    "ALTER TABLE ingest.keys DROP CONSTRAINT keys_previous_ends",
    "ALTER TABLE ingest.keys ALTER label SET DEFAULT 'x'",
    "ALTER TABLE ingest.keys ALTER secret_hash DROP NOT NULL",
    "ALTER TABLE ingest.keys ALTER previous_hash TYPE varchar",
    "DROP INDEX ingest.rejections_newest",
)


async def test_a_schema_that_differs_in_one_thing_is_noticed(
    make_database: Callable[..., str],
) -> None:
    by_migrations, _, made = await schemas_of(build("ingest"), make_database)
    known = 0
    for change in CHANGES:
        run_sql(made, change)
        differences = len(by_migrations ^ await described(made, "ingest"))
        assert differences > known, change
        known = differences


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


def untold(told: str) -> set[str]:
    """Variables that somebody reads and the page does not have."""
    own = {
        f"{name.upper()}_{field.upper()}"
        for name in SERVICES
        for field in type(build(name).settings).model_fields
        if field not in RuntimeSettings.model_fields
    }
    every = {f"<SERVICE>_{field.upper()}" for field in RuntimeSettings.model_fields}
    launcher = {f"TENURE_{field.upper()}" for field in StackSettings.model_fields}
    return {one for one in own | every | launcher if f"`{one}`" not in told}


def test_every_setting_is_in_the_reference() -> None:
    told = (ROOT / "docs" / "settings.md").read_text()
    assert not untold(told)
    assert untold(told.replace("LOYALTY_", "X_"))
    assert untold(told.replace("`TENURE_KAFKA_HEAP_MB`", "")) == {"TENURE_KAFKA_HEAP_MB"}


def test_a_settings_page_that_was_edited_or_is_missing_is_named(tmp_path: Path) -> None:
    assert stale_settings(tmp_path) == ["docs/settings.md"]
    (tmp_path / "docs").mkdir()
    write_settings(tmp_path)
    assert stale_settings(tmp_path) == []
    (tmp_path / "docs/settings.md").write_text("edited by hand")
    assert stale_settings(tmp_path) == ["docs/settings.md"]


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
