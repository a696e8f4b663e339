"""The environment of ingest: `INGEST_*`. Every limit has its unit."""

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, SecretStr
from pydantic_settings import NoDecode

from services.ingest.domain.traits import TraitKind
from shared.runtime.settings import Field, RuntimeSettings, service_config


def _words(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


class IngestSettings(RuntimeSettings):
    """What the door lets in, and what is kept for how long."""

    model_config = service_config("ingest")
    SERVICE: ClassVar[str] = "ingest"

    events_per_request_max: int = Field(2_500, ge=1)
    # A real order can have over a thousand lines, about 120 bytes each.
    event_bytes_max: int = Field(262_144, ge=256)
    nesting_depth_max: int = Field(32, ge=4, le=200)
    # A body on the wire is bounded by `request_body_bytes_max`; this bounds it once inflated.
    inflated_bytes_max: int = Field(4_194_304, ge=1_024)
    future_seconds_max: float = Field(3_600.0, ge=0)

    # One bundle must fit into one batch of the broker, with room for its header.
    bundle_bytes_max: int = Field(524_288, ge=65_536, le=900_000)
    # Bytes of all requests being read or waiting for the broker; more is answered 503 at once.
    in_flight_bytes_max: int = Field(67_108_864, ge=1_048_576)
    write_bytes_max: int = Field(4_194_304, ge=65_536)
    body_seconds_max: float = Field(10.0, gt=0)
    acknowledgement_seconds_max: float = Field(5.0, gt=0)

    key_events_per_second_max: float = Field(100_000.0, gt=0)
    key_burst_seconds: float = Field(2.0, gt=0)

    rejected_body_chars_max: int = Field(65_536, ge=0)
    rejections_retention_days: int = Field(7, ge=1)
    rejections_forget_rows_max: int = Field(1_000, ge=1)
    identity_rows_max: int = Field(1_000, ge=1)
    # Visitors that may belong to one customer; the link of a further one is refused and listed.
    identity_links_max: int = Field(1_000, ge=1)
    # Merges of one customer a day (UTC) that events may cause; an operator's alias does not count.
    identity_merges_per_day_max: int = Field(1_000, ge=1)
    # Of `email,phone` those that the shop has verified before it tells them: customers who share
    # one are one person. Default none.
    identity_traits: Annotated[tuple[TraitKind, ...], NoDecode, BeforeValidator(_words)] = ()
    # 32 bytes in base64, under which traits are digested; without it a key is made in
    # `<data_dir>/identity.key` (mode 0600), which replicas on several machines cannot share.
    identity_traits_key: SecretStr | None = None
