"""What handlers and routes find in `tx.resources`: content, providers, and limits."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from services.campaigns.domain.offer import Offer
from services.campaigns.domain.policy import Policy
from services.campaigns.mailer import Provider
from services.campaigns.templates import Template

SOURCE = "/campaigns"


@dataclass(frozen=True, slots=True)
class Tools:
    """Opened once per process by `main.py`. `default_policy` holds until an operator's does."""

    provider: Provider
    templates: Mapping[str, Template]
    offers: Mapping[str, Offer]
    signing_secret: bytes
    default_policy: Policy
    public_url: str
    shop_name: str
    mail_sender: str
    mail_domain: str
    default_assignee: str
    lease: timedelta
    send_batch_rows: int
    sends_at_once: int
    timer_batch_rows: int
    order_retention: timedelta

    def unsubscribe_url(self, token: str) -> str:
        return f"{self.public_url.rstrip('/')}/u/{token}"
