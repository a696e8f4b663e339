"""What a measurement yields: series over rounds, ratios between two sides, and their verdicts."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

FLOOR_MOVES_MAX = 2.0
_HOLDS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "<": operator.lt,
}


@dataclass(frozen=True, slots=True)
class Series:
    """One figure a round, in the order of the rounds."""

    name: str
    unit: str
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        assert self.values, f"{self.name}: nothing was measured"

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def middle(self) -> float:
        return median(self.values)

    @property
    def high(self) -> float:
        return max(self.values)

    @property
    def moves(self) -> float:
        """The largest value over the smallest."""
        return self.high / self.low if self.low > 0 else float("inf")


@dataclass(frozen=True, slots=True)
class Aim:
    """What the median of a ratio should be."""

    sign: Literal[">=", "<=", "<"]
    value: float

    def holds(self, measured: float) -> bool:
        return _HOLDS[self.sign](measured, self.value)


Verdict = Literal["met", "missed", "void", "-"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: both sides as measured, and their ratio round by round.

    `floor` is absent where a figure stands for itself (a rate, a peak of memory). Where the floor
    of a `primary` row moved too much, the machine was not itself: nothing of the section counts.
    A `headline` is for those who read one table only.
    """

    what: str
    ours: Series
    floor: Series | None = None
    ratio: Series | None = None
    aim: Aim | None = None
    primary: bool = False
    headline: bool = False

    @property
    def is_void(self) -> bool:
        """The floor itself moved too much for a ratio to mean anything."""
        return self.floor is not None and self.floor.moves > FLOOR_MOVES_MAX

    @property
    def outcome(self) -> Verdict:
        """Whether the median meets the aim, as far as this row can tell."""
        if self.is_void:
            return "void"
        if self.aim is None:
            return "-"
        measured = self.ratio if self.ratio is not None else self.ours
        return "met" if self.aim.holds(measured.middle) else "missed"


@dataclass(frozen=True, slots=True)
class Table:
    """The outcome of one section."""

    section: str
    title: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    # What happened that makes the run say nothing, whatever its figures.
    spoilt_by: tuple[str, ...] = ()

    @property
    def void_because(self) -> tuple[str, ...]:
        """Why the whole run is void; empty when it is not."""
        moved = tuple(
            f"the floor of « {row.what} » moved by {row.floor.moves:.3g}"
            for row in self.rows
            if row.primary and row.floor is not None and row.is_void
        )
        return self.spoilt_by + moved

    def verdict(self, row: Row) -> Verdict:
        """A row's own outcome, unless the whole run is void."""
        return "void" if self.void_because else row.outcome


def compared(
    what: str,
    ours: Series,
    floor: Series,
    *,
    aim: Aim | None = None,
    inverse: bool = False,
    primary: bool = False,
    headline: bool = False,
) -> Row:
    """A row whose ratio is ours over the floor, or with `inverse` the floor over ours."""
    pairs: Sequence[tuple[float, float]] = list(zip(ours.values, floor.values, strict=True))
    values = tuple(theirs / own if inverse else own / theirs for own, theirs in pairs)
    return Row(what, ours, floor, Series("ratio", "×", values), aim, primary, headline)
