"""The launcher's environment: every limit of backing pieces and supervisor, with its unit."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

LOOPBACK = "127.0.0.1"


class StackSettings(BaseSettings):
    """`TENURE_<FIELD>`; an address that is set takes the place of the piece it names."""

    model_config = SettingsConfigDict(env_prefix="TENURE_", frozen=True, extra="ignore")

    database_url: str | None = None
    kafka: str | None = None
    data_dir: Path = Path(".tenure")

    postgres_connections_max: int = Field(300, ge=20)
    postgres_shared_buffers_mb: int = Field(128, ge=16)
    postgres_start_seconds: float = 60.0
    postgres_stop_seconds: float = 30.0
    postgres_settings: dict[str, str] = Field(default_factory=dict)

    kafka_heap_mb: int = Field(448, ge=192, le=4096)
    kafka_partitions: int = Field(12, ge=1)
    kafka_start_seconds: float = 90.0
    kafka_stop_seconds: float = 30.0
    # Broker properties by name, over ours: {"log.flush.interval.messages": "1"}.
    kafka_settings: dict[str, str] = Field(default_factory=dict)

    docker_answer_seconds: float = 2.0
    docker_postgres_image: str = "postgres:18"
    docker_kafka_image: str = "apache/kafka:4.1.1"

    disk_free_mb_min: int = Field(512, ge=0)

    service_ready_seconds: float = 90.0
    service_drain_seconds: float = 15.0
    service_restart_seconds_first: float = 0.25
    service_restart_seconds_max: float = 15.0
    # How often each is asked whether it stands still, and how long it may answer nothing at all.
    service_pulse_seconds: float = Field(5.0, gt=0)
    service_silent_seconds_max: float = Field(60.0, gt=0)
    # A child that lived this long starts its backoff anew.
    service_steady_seconds: float = 30.0
