"""Offers, as data: what a message may promise."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from shared.events.envelope import Line, Name


class Offer(BaseModel):
    """`code` is what the customer types in the shop; `percent` off, for `valid_days` days."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    offer: Name
    title: Line
    code: Name
    percent: Annotated[float, Field(gt=0, le=100)]
    valid_days: Annotated[int, Field(ge=1, le=366)]
