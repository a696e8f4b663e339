"""The environment of scoring (`SCORING_<FIELD>`): horizon, fitting, reviews."""

from typing import ClassVar

from pydantic import Field

from shared.runtime.settings import RuntimeSettings, service_config


class ScoringSettings(RuntimeSettings):
    """Limits carry their units in their names."""

    model_config = service_config("scoring")
    SERVICE: ClassVar[str] = "scoring"

    # Churn risk is the probability of no purchase within this many days.
    horizon_days: int = Field(default=90, ge=1, le=730)
    # The currency shown for customers without orders, until a model knows the shop's.
    currency: str = Field(default="EUR", pattern=r"^[A-Z]{3}$")

    # A person with more ids than this is a kiosk or a mailing list: further ids stay apart. Well
    # above what ingest links, for what it parts and joins may be heard of in the other order.
    customer_ids_max: int = Field(default=4_000, ge=2, le=100_000)

    # Off pins the prior, so that scores are a function of the events alone.
    fit: bool = True
    fit_purchases_min: int = Field(default=200, ge=1)
    # Fit again when there are this many times the purchases of the last fit …
    fit_growth_factor: float = Field(default=1.5, gt=1)
    # … or after this many days, when there are new ones.
    fit_period_days: int = Field(default=7, ge=1)

    review_batch_customers: int = Field(default=1_000, ge=1, le=10_000)
    # On the event clock a silence review waits this long (in event time) for late events and for
    # what ingest has not admitted yet; events make due reviews first themselves, so a long grace
    # loses nothing but promptness.
    review_grace_hours: float = Field(default=24.0, ge=0)
