"""What webhooks reads from its environment (`WEBHOOKS_*`); every limit has its unit in its name."""

from datetime import timedelta
from ipaddress import ip_network
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from services.webhooks.domain.addresses import Network
from services.webhooks.domain.delivery import WAITS_SECONDS
from services.webhooks.domain.standing import DisableRule
from services.webhooks.domain.target import Guard
from shared.retry import Schedule
from shared.runtime.settings import RuntimeSettings, service_config


def _networks(value: Any) -> Any:
    """`10.0.0.0/8, fd00::/8` as networks; anything else is left to pydantic."""
    if isinstance(value, str):
        return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
    return value


def _numbers(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(int(part) for part in value.split(",") if part.strip())
    return value


class WebhooksSettings(RuntimeSettings):
    """Limits of deliveries. `allowed_networks` are exempt from the address guard (default none)."""

    model_config = service_config("webhooks")
    SERVICE: ClassVar[str] = "webhooks"

    gather_seconds: float = Field(0.2, ge=0, le=1)

    # 32 bytes in base64; without it a key is made in `<data_dir>/webhooks.key` (mode 0600), which
    # replicas on several machines cannot share.
    secret_key: SecretStr | None = None
    allowed_networks: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)] = ()
    ports: Annotated[tuple[int, ...], NoDecode, BeforeValidator(_numbers)] = (443, 8443)
    http_permitted: bool = False

    calls_in_flight_max: int = Field(default=200, ge=1)
    calls_per_endpoint_max: int = Field(default=20, ge=1)
    calls_per_failing_endpoint_max: int = Field(default=2, ge=1)
    call_seconds_max: float = 15.0
    connect_seconds_max: float = 5.0
    answer_seconds_max: float = 2.0
    answer_bytes_max: int = 16_384
    lease_seconds: float = 60.0
    retry_waits_seconds: Annotated[tuple[int, ...], NoDecode, BeforeValidator(_numbers)] = (
        WAITS_SECONDS
    )
    retry_jitter_ratio: float = Field(default=0.2, ge=0, le=1)
    failing_report_attempts: int = 4
    hold_seconds_max: float = 3_600.0
    disable_after_hours: float = 120.0
    disable_failures_min: int = 10
    disabled_queue_hours: float = 72.0

    secret_overlap_hours: float = Field(default=24.0, ge=0, le=168)
    secrets_per_endpoint_max: int = 10
    endpoints_max: int = 1_000
    retention_days: float = 30.0
    retention_rows_max: int = 2_000
    # Deliveries that waited for an endpoint, in one transaction once it is enabled.
    backlog_rows_max: int = Field(default=2_000, ge=1)

    @property
    def guard(self) -> Guard:
        """Who may be called."""
        return Guard(self.allowed_networks, frozenset(self.ports), self.http_permitted)

    @property
    def schedule(self) -> Schedule:
        """When to try again."""
        return Schedule(self.retry_waits_seconds, self.retry_jitter_ratio)

    @property
    def disable_rule(self) -> DisableRule:
        """When to tell operators, and when to stop."""
        return DisableRule(
            after=timedelta(hours=self.disable_after_hours),
            failures_min=self.disable_failures_min,
            report_attempts=self.failing_report_attempts,
            hold_max=timedelta(seconds=self.hold_seconds_max),
        )
