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
    # Later events are refused; of a request with `sent_at` they happened then.
    future_seconds_max: float = Field(3_600.0, ge=0)
    # A client's clock (`sent_at`) that is off by less is taken for the network's delay.
    clock_skew_minutes_min: float = Field(5.0, gt=0)

    # One bundle must fit into one batch of the broker, with room for its header.
    bundle_bytes_max: int = Field(524_288, ge=65_536, le=900_000)
    # Bytes of all requests being read or waiting for the broker; more is answered 503 at once.
    in_flight_bytes_max: int = Field(67_108_864, ge=1_048_576)
    write_bytes_max: int = Field(4_194_304, ge=65_536)
    body_seconds_max: float = Field(10.0, gt=0)
    # Of these the part, and the time, of who is known by nothing but a key within the body. At
    # least two bodies fit, on the wire and inflated.
    strangers_in_flight_bytes_max: int = Field(8_388_608, ge=65_536)
    stranger_body_seconds_max: float = Field(5.0, gt=0)
    acknowledgement_seconds_max: float = Field(5.0, gt=0)

    # Calls of Segment's and RudderStack's clients, on the wire and once inflated. RudderStack's
    # send up to 4 MB at once: 4194304 takes them.
    segment_request_bytes_max: int = Field(524_288, ge=1_024, le=16_777_216)
    segment_event_bytes_max: int = Field(32_768, ge=256, le=262_144)
    segment_events_per_request_max: int = Field(2_500, ge=1)
    # The currency of a shop whose calls name none; without one such money is refused.
    segment_currency: str = Field("", pattern=r"^([A-Z]{3})?$")
    # A clock (`sentAt`) that seems to be off by more is none: the calls are old, their times hold.
    segment_clock_skew_hours_max: float = Field(24.0, ge=0)
    # Some clients send again once in that time, for half an hour.
    segment_retry_after_seconds: int = Field(5, ge=1, le=300)

    key_events_per_second_max: float = Field(100_000.0, gt=0)
    key_burst_seconds: float = Field(2.0, gt=0)

    rejected_body_chars_max: int = Field(65_536, ge=0)
    rejections_retention_days: int = Field(7, ge=1)
    # One request to replay: events judged and published at once.
    replay_events_max: int = Field(500, ge=1, le=2_500)
    replay_bytes_max: int = Field(4_194_304, ge=1)
    # So long nobody else replays what a replay that died had in hand. Longer than a write may take.
    replay_lease_seconds: float = Field(30.0, gt=0)
    rejections_forget_rows_max: int = Field(1_000, ge=1)
    # Of what a test key posts the last so many events are kept, and bytes of them, for so long.
    rehearsals_per_key_max: int = Field(10_000, ge=1)
    rehearsals_per_key_bytes_max: int = Field(33_554_432, ge=1)
    # A page of them ends earlier than it might when it would be larger.
    rehearsals_page_bytes_max: int = Field(1_048_576, ge=1)
    rehearsals_retention_days: int = Field(7, ge=1)
    rehearsals_forget_rows_max: int = Field(1_000, ge=1)
    identity_rows_max: int = Field(1_000, ge=1)
    # Visitors that may belong to one customer; the link of a further one is refused and listed.
    identity_links_max: int = Field(1_000, ge=1)
    # Merges of one customer a day (UTC) that events may cause; an operator's alias does not count.
    identity_merges_per_day_max: int = Field(1_000, ge=1)
    # Links of one visitor a day (UTC) by events, each of an earlier event than the one before.
    identity_moves_per_day_max: int = Field(100, ge=1)
    # Conflicts of one id that are kept and listed; a till is in conflict with everybody.
    identity_conflicts_per_id_max: int = Field(100, ge=1)
    # Of `email,phone` those that the shop has verified before it tells them: customers who share
    # one are one person. Default none.
    identity_traits: Annotated[tuple[TraitKind, ...], NoDecode, BeforeValidator(_words)] = ()
    # 32 bytes in base64, under which traits are digested; without it a key is made in
    # `<data_dir>/identity.key` (mode 0600), which replicas on several machines cannot share.
    identity_traits_key: SecretStr | None = None

    # How soon every process applies a tracking plan that another one activated.
    plan_refresh_seconds: float = Field(2.0, gt=0)
    plan_bytes_max: int = Field(262_144, ge=256)
    # Examples kept for one kind of violation, and kinds counted at all.
    plan_examples_max: int = Field(5, ge=0, le=100)
    plan_violations_rows_max: int = Field(2_000, ge=1)
    # Events of one batch whose shape is remembered for a draft of a plan; 0 remembers none.
    plan_observed_events_max: int = Field(10, ge=0)
    plan_observed_rows_max: int = Field(20_000, ge=1)
    plan_counts_retention_days: int = Field(30, ge=1)
