"""The composition root of ingest, and how the launcher makes keys before anybody serves."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from services.ingest import tables
from services.ingest.api.body import BodyLimits
from services.ingest.api.door import Door, Intake
from services.ingest.api.router import router
from services.ingest.consumer import SUBSCRIPTIONS
from services.ingest.domain.identity import Bounds
from services.ingest.domain.segment.verdict import Rules
from services.ingest.domain.verdict import Limits
from services.ingest.handlers import keys
from services.ingest.handlers.joining import IdentityRules
from services.ingest.handlers.plans import InForce, following
from services.ingest.handlers.trait_key import demand_same_key
from services.ingest.jobs import JOBS
from services.ingest.sender import open_sender
from services.ingest.settings import IngestSettings
from shared.clock import SystemClock
from shared.events.keys import Scope
from shared.runtime.db import Database
from shared.runtime.failpoints import FailPoints
from shared.runtime.keyfile import load_key
from shared.runtime.log import Log
from shared.runtime.service import Service
from shared.runtime.settings import RuntimeSettings

KEY_FILE = "identity.key"


def build(settings: IngestSettings | None = None) -> Service:
    """The service; without settings they are read from the environment."""
    return Service(
        name="ingest",
        settings=settings or IngestSettings(),
        metadata=tables.METADATA,
        migrations=Path(__file__).parent / "migrations",
        router=router,
        subscriptions=SUBSCRIPTIONS,
        jobs=JOBS,
        resources=_open_intake,
        wrap=Door,
    )


@asynccontextmanager
async def _open_intake(
    settings: RuntimeSettings,
    database: Database,
    log: Log,
) -> AsyncIterator[Intake]:
    """What door and consumer need. A role that has no door never connects its writer."""
    assert isinstance(settings, IngestSettings)
    limits = _limits(settings)
    rules = _identity_rules(settings)
    if rules.trait_kinds:
        await demand_same_key(database, rules.secret, _origin_of_key(settings))
    in_force = InForce(
        limits,
        observed_events_max=settings.plan_observed_events_max,
        rows_max=settings.plan_violations_rows_max,
        examples_max=settings.plan_examples_max,
    )
    async with (
        following(
            database, in_force, settings.plan_refresh_seconds, settings.plan_observed_rows_max
        ),
        open_sender(
            log.writer(),
            in_flight_bytes_max=settings.in_flight_bytes_max,
            write_bytes_max=settings.write_bytes_max,
            write_seconds_max=settings.acknowledgement_seconds_max,
            close_seconds_max=settings.drain_seconds,
            strangers_bytes_max=max(
                settings.strangers_in_flight_bytes_max, 4 * settings.segment_request_bytes_max
            ),
        ) as sender,
    ):
        yield Intake(
            sender,
            in_force,
            BodyLimits(settings.request_body_bytes_max, settings.inflated_bytes_max),
            settings.key_events_per_second_max,
            settings.key_burst_seconds,
            segment=Rules(
                limits,
                settings.segment_events_per_request_max,
                settings.segment_event_bytes_max,
                settings.segment_currency,
                settings.segment_clock_skew_hours_max * 3_600,
            ),
            identity=rules,
        )


def _limits(settings: IngestSettings) -> Limits:
    """What one request may hold, before there is a tracking plan."""
    return Limits(
        events_max=settings.events_per_request_max,
        event_bytes_max=settings.event_bytes_max,
        nesting_depth_max=settings.nesting_depth_max,
        future_seconds_max=settings.future_seconds_max,
        skew_seconds_min=settings.clock_skew_minutes_min * 60,
    )


def _identity_rules(settings: IngestSettings) -> IdentityRules:
    """What joins ids. The key of traits is asked for only where traits may join."""
    secret = b""
    if settings.identity_traits:
        configured = settings.identity_traits_key
        secret = load_key(
            configured.get_secret_value() if configured is not None else None,
            settings.data_dir / KEY_FILE,
            "verified traits",
        )
    return IdentityRules(
        Bounds(
            settings.identity_links_max,
            settings.identity_merges_per_day_max,
            settings.identity_moves_per_day_max,
        ),
        frozenset(settings.identity_traits),
        secret,
        settings.identity_conflicts_per_id_max,
    )


def _origin_of_key(settings: IngestSettings) -> str:
    """For a message about it."""
    if settings.identity_traits_key is not None:
        return "INGEST_IDENTITY_TRAITS_KEY"
    return str(settings.data_dir / KEY_FILE)


async def issue_key(scopes: Sequence[Scope], label: str) -> str:
    """Makes a key in the database that the environment names; the running service announces it."""
    settings = IngestSettings()
    database = Database(settings, FailPoints({}))
    clock = SystemClock()
    try:
        async with database.transaction(clock) as tx:
            return (await keys.create_key(tx, scopes, label, now=clock.now())).key
    finally:
        await database.close()


async def known_keys(made: Sequence[str]) -> frozenset[str]:
    """Which of these keys are of the environment's database, revoked or not."""
    settings = IngestSettings()
    database = Database(settings, FailPoints({}))
    try:
        async with database.transaction(SystemClock()) as tx:
            return frozenset([key for key in made if await keys.is_known(tx, key)])
    finally:
        await database.close()


async def issue_first_keys() -> dict[str, str] | None:
    """The first admin, ingest and read keys, by scope; None when keys were made before."""
    settings = IngestSettings()
    database = Database(settings, FailPoints({}))
    clock = SystemClock()
    try:
        async with database.transaction(clock) as tx:
            return await keys.ensure_first_keys(tx, now=clock.now())
    finally:
        await database.close()
