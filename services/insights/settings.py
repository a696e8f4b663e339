"""The environment of insights: `INSIGHTS_<FIELD>`."""

from typing import ClassVar

from pydantic import Field

from shared.runtime.settings import RuntimeSettings, service_config


class InsightsSettings(RuntimeSettings):
    """What insights may keep and how much one reading may span."""

    model_config = service_config("insights")
    SERVICE: ClassVar[str] = "insights"

    gather_seconds: float = Field(0.5, ge=0, le=1)

    overview_days_default: int = Field(30, ge=1)
    overview_days_max: int = Field(3_660, ge=1)
    # Entries of timelines go this long after they were recorded; rollups stay.
    timeline_retention_days: int = Field(730, ge=1)
    timeline_sweep_rows: int = Field(5_000, ge=1)
    # So many people are counted anew in one transaction.
    recount_rows: int = Field(5_000, ge=1)
