"""Settings that every service has. Each service derives its own class and adds its limits.

Environment names are `<SERVICE>_<FIELD>`; the few that a whole deployment shares fall back to
`TENURE_<FIELD>` (database_url, kafka, clock, data_dir). Every field carries its unit in its name.
"""

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def shared_with_all(service: str, field: str) -> AliasChoices:
    """`<SERVICE>_<FIELD>` first, `TENURE_<FIELD>` otherwise."""
    return AliasChoices(f"{service.upper()}_{field.upper()}", f"TENURE_{field.upper()}")


class RuntimeSettings(BaseSettings):
    """What the runtime needs to know. Frozen; read once, in `main.py`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")
    SERVICE: ClassVar[str] = "runtime"

    database_url: str = "postgresql://tenure@127.0.0.1:5432/tenure"
    kafka: str = "127.0.0.1:9092"
    clock: Literal["wall", "event"] = "wall"
    data_dir: Path = Path(".tenure")

    batch_records_max: int = 1_000
    batch_seconds_target: float = 0.1
    batch_seconds_max: float = 1.0
    # Transactions of one large batch under way at once.
    batch_lanes: int = 2
    poll_seconds: float = 0.2
    # How long the broker may gather records before it hands them over, unless there are many; under
    # load a record may wait twice that. A batch of one costs as much as a batch of fifty: who is
    # not waited for gathers. Longer ones would hold up what else is asked of the broker.
    gather_seconds: float = Field(0.0, ge=0, le=1)
    gather_bytes: int = Field(65_536, ge=1)
    session_timeout_seconds: float = 6.0
    max_poll_interval_seconds: float = 300.0
    request_timeout_seconds: float = 10.0

    # A batch that runs into a limit so often in a row is tried record by record.
    limit_failures_max: int = 3
    dead_ratio_max: float = 0.1
    dead_window_events: int = 1_000
    dead_count_min: int = 20
    inbox_retention_days: int = 30
    inbox_sweep_seconds: float = 60.0

    relay_batch_records: int = 1_000
    relay_sweep_seconds: float = 0.5
    leader_seconds: float = 1.0
    leader_idle_seconds: float = 5.0
    # Who led that long begins its backoff anew.
    leader_steady_seconds: float = 10.0

    pool_connections: int = 8
    read_pool_connections: int = 8
    statement_timeout_seconds: float = 10.0
    lock_timeout_seconds: float = 2.0
    idle_in_transaction_seconds: float = 4.0

    http_host: str = "127.0.0.1"
    request_body_bytes_max: int = 1_048_576
    request_body_seconds_max: float = 30.0
    connections_max: int = 1_000
    # A proxy in front has to keep its own for less: who closes first cuts off what is being sent.
    keep_alive_seconds: int = Field(5, ge=1)
    drain_seconds: float = 6.0
    # Between « not ready » and the closing of the socket, so that nobody sends to a closed one.
    unready_notice_seconds: float = 0.5
    stall_seconds: float = 30.0
    # For so long an absent database or broker excuses a consumer that stands still.
    away_seconds_max: float = 300.0
    # A reader that cannot tell where the log ends is built anew after so long.
    reader_blind_seconds_max: float = 15.0
    event_clock_refresh_seconds: float = 0.2
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for field in ("database_url", "kafka", "clock", "data_dir"):
            cls.model_fields[field].validation_alias = shared_with_all(cls.SERVICE, field)
        cls.model_rebuild(force=True)


def service_config(service: str) -> SettingsConfigDict:
    """The configuration of a service's settings class: its prefix, frozen, buildable by name."""
    return SettingsConfigDict(
        env_prefix=f"{service.upper()}_", frozen=True, extra="ignore", populate_by_name=True
    )


__all__ = ["Field", "RuntimeSettings", "service_config"]
