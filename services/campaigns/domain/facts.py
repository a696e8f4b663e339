"""The facts that a journey's conditions and words may name."""

from collections.abc import Mapping
from string import Template
from typing import Any

from shared.events.scoring import ThresholdCrossed

Facts = Mapping[str, Any]

NAMES: frozenset[str] = frozenset(
    {
        "threshold",
        "metric",
        "direction",
        "value",
        "level",
        "churn_risk",
        "risk_percent",
        "churn_band",
        "clv_historic",
        "clv_predicted_12m",
        "clv_tier",
        "currency",
        "segment",
        "lifecycle",
        "drivers",
        "parameters",
    }
)


def facts_of(event: ThresholdCrossed) -> dict[str, Any]:
    """The picture at the moment of the crossing, as plain JSON values."""
    data = event.data
    return {
        "threshold": data.threshold,
        "metric": data.metric,
        "direction": data.direction,
        "value": data.value,
        "level": data.level,
        "churn_risk": data.churn_risk,
        "risk_percent": round(data.churn_risk * 100),
        "churn_band": data.churn_band,
        "clv_historic": float(data.clv_historic),
        "clv_predicted_12m": float(data.clv_predicted_12m),
        "clv_tier": data.clv_tier,
        "currency": data.currency,
        "segment": data.segment,
        "lifecycle": data.lifecycle,
        "drivers": [driver.text for driver in data.drivers],
    }


def worded(text: str, facts: Facts) -> str:
    """`text` with every `$fact` in words: numbers to two places, lists with commas."""
    return Template(text).safe_substitute({name: _word(value) for name, value in facts.items()})[
        :1_000
    ]


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, list):
        return ", ".join(map(_word, value))
    return str(value)
