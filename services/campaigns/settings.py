"""What campaigns is told by its environment."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from services.campaigns.domain.policy import Channel, Policy, default_policy, zone_problem
from services.campaigns.domain.sending import has_line_break
from shared.runtime.settings import RuntimeSettings, service_config


def _zone(name: str) -> str:
    problem = zone_problem(name)
    if problem is not None:
        raise ValueError(problem)
    return name


def _one_line(text: str) -> str:
    if has_line_break(text):
        raise ValueError("must be one line")
    return text


class CampaignsSettings(RuntimeSettings):
    """Limits carry their unit; the policy is what holds until an operator changes it."""

    model_config = service_config("campaigns")
    SERVICE: ClassVar[str] = "campaigns"

    gather_seconds: float = Field(0.2, ge=0, le=1)

    # Where customers reach this service, for the links in messages.
    public_url: str = "http://127.0.0.1:8003"
    shop_name: Annotated[str, AfterValidator(_one_line)] = "The shop"
    shop_timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    # Who gets a task for a customer without an account manager.
    default_assignee: str = "retention-team"
    # Channels by which customers may be contacted for retention unless they said no.
    implied_retention_consent: frozenset[Channel] = frozenset()

    mail_provider: Literal["file", "smtp"] = "file"
    mail_sender: Annotated[str, AfterValidator(_one_line)] = "The shop <shop@localhost>"
    mail_domain: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,200}$")] = "localhost"
    smtp_host: str = "127.0.0.1"
    smtp_port: int = 25
    smtp_security: Literal["none", "starttls", "tls"] = "starttls"
    smtp_username: str | None = None
    smtp_password: str | None = Field(default=None, repr=False)
    # The certificate (PEM) of an own authority, when the mail server's is not a public one.
    smtp_ca_file: Path | None = None
    smtp_timeout_seconds: float = 15.0

    # A claim ends by itself, so that what a dead worker held is tried again.
    lease_seconds: float = 120.0
    send_batch_rows: int = 50
    sends_at_once: int = 10
    timer_batch_rows: int = 500
    # Orders are kept this long to tell what an intervention led to.
    order_retention_days: int = 100

    @property
    def outbox_mail_dir(self) -> Path:
        """Where the file provider writes."""
        return self.data_dir / "outbox-mail"

    def policy(self) -> Policy:
        return default_policy(
            self.shop_timezone,
            {channel: frozenset({"retention"}) for channel in self.implied_retention_consent},
        )
