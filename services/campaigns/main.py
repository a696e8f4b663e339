"""Composition root of campaigns."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from pydantic import TypeAdapter

from services.campaigns.api.routes import router
from services.campaigns.consumer import SUBSCRIPTIONS
from services.campaigns.domain.definition import Definition
from services.campaigns.domain.offer import Offer
from services.campaigns.handlers.equipment import Tools
from services.campaigns.jobs import JOBS
from services.campaigns.mailer import FileProvider, Provider, SmtpProvider, SmtpServer
from services.campaigns.rules import accepted
from services.campaigns.settings import CampaignsSettings
from services.campaigns.store import journeys, shop
from services.campaigns.tables import METADATA
from services.campaigns.templates import read_templates
from shared.clock import SystemClock
from shared.runtime.db import Database
from shared.runtime.log import Log
from shared.runtime.service import Service
from shared.runtime.settings import RuntimeSettings

_HERE = Path(__file__).parent
_DATA = _HERE / "data"
_OFFERS = TypeAdapter(list[Offer])


def build(settings: CampaignsSettings | None = None) -> Service:
    settings = settings or CampaignsSettings()
    return Service(
        "campaigns",
        settings,
        METADATA,
        _HERE / "migrations",
        router=router,
        subscriptions=SUBSCRIPTIONS,
        jobs=JOBS,
        resources=_open,
    )


@asynccontextmanager
async def _open(settings: RuntimeSettings, database: Database, _log: Log) -> AsyncIterator[Tools]:
    """Makes the shipped journeys known, once, and reads what messages are made of."""
    assert isinstance(settings, CampaignsSettings)
    clock = SystemClock()
    async with database.transaction(clock) as tx:
        for path in sorted((_DATA / "journeys").glob("*.json")):
            shipped = accepted(Definition.model_validate_json(path.read_bytes()))
            await journeys.seed(tx.driver, shipped, clock.now())
        secret = await shop.secret(tx.driver, "links")
    yield Tools(
        provider=_provider(settings),
        templates=read_templates(_DATA / "templates"),
        offers={
            one.offer: one for one in _OFFERS.validate_json((_DATA / "offers.json").read_bytes())
        },
        signing_secret=secret,
        default_policy=settings.policy(),
        public_url=settings.public_url,
        shop_name=settings.shop_name,
        mail_sender=settings.mail_sender,
        mail_domain=settings.mail_domain,
        default_assignee=settings.default_assignee,
        lease=timedelta(seconds=settings.lease_seconds),
        send_batch_rows=settings.send_batch_rows,
        sends_at_once=settings.sends_at_once,
        timer_batch_rows=settings.timer_batch_rows,
        order_retention=timedelta(days=settings.order_retention_days),
    )


def _provider(settings: CampaignsSettings) -> Provider:
    if settings.mail_provider == "file":
        return FileProvider(settings.outbox_mail_dir)
    return SmtpProvider(
        SmtpServer(
            settings.smtp_host,
            settings.smtp_port,
            settings.smtp_security,
            settings.smtp_username,
            settings.smtp_password,
            settings.smtp_timeout_seconds,
            settings.smtp_ca_file,
        )
    )
