"""What several commands can be told, in the same words."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Clock(StrEnum):
    """Where « now » comes from."""

    WALL = "wall"
    EVENT = "event"


DATA_DIR = Path(".tenure")
DataDir = Annotated[
    Path, typer.Option("--data-dir", envvar="TENURE_DATA_DIR", help="Where everything is kept.")
]
PortBase = Annotated[
    int | None,
    typer.Option(
        min=1024,
        max=65_528,
        help="N…N+5 services, N+6 PostgreSQL, N+7 Kafka. Without: 8000-8005, 5432, 9092.",
    ),
]
ClockOption = Annotated[Clock, typer.Option(help="wall, or the latest event's time.")]
