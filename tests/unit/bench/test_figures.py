"""Ratios, their verdicts, and when a run says nothing."""

import pytest

from bench.figures import Aim, Row, Series, Table, compared


def series(*values: float, unit: str = "ms") -> Series:
    return Series("side", unit, values)


def test_a_series_tells_its_smallest_median_and_largest() -> None:
    one = series(5.0, 1.0, 3.0, 9.0)

    assert (one.low, one.middle, one.high) == (1.0, 4.0, 9.0)


def test_nothing_measured_is_no_series() -> None:
    with pytest.raises(AssertionError, match="nothing was measured"):
        series()


def test_a_ratio_compares_both_sides_of_the_same_round() -> None:
    row = compared("rate", series(7.0, 20.0), series(10.0, 10.0))

    assert row.ratio is not None
    assert row.ratio.values == (0.7, 2.0)


def test_an_inverse_ratio_tells_how_many_times_cheaper_we_are() -> None:
    row = compared("cost", series(2.0), series(50.0), inverse=True)

    assert row.ratio is not None
    assert row.ratio.middle == 25.0


@pytest.mark.parametrize(
    ("aim", "verdict"),
    [
        (Aim(">=", 0.7), "met"),
        (Aim(">=", 0.71), "missed"),
        (Aim("<=", 0.7), "met"),
        (Aim("<", 0.7), "missed"),
        (None, "-"),
    ],
)
def test_the_median_of_the_ratio_is_held_against_the_aim(aim: Aim | None, verdict: str) -> None:
    row = compared("rate", series(7.0, 1.0, 9.0), series(10.0, 10.0, 10.0), aim=aim)

    assert row.outcome == verdict


def test_a_figure_without_a_floor_is_held_against_the_aim_itself() -> None:
    assert Row("p99", series(80.0, 90.0, 120.0), aim=Aim("<", 100)).outcome == "met"


def test_a_floor_that_moved_by_more_than_two_voids_its_row() -> None:
    ours = series(1.0, 1.0)

    steady = compared("rate", ours, series(10.0, 20.0), aim=Aim(">=", 0.01))
    moved = compared("rate", ours, series(10.0, 20.1), aim=Aim(">=", 0.01))

    assert (steady.outcome, moved.outcome) == ("met", "void")


def a_run(floor_of_primary: float, floor_of_wall: float, *spoilt_by: str) -> Table:
    """Three rows: the primary figure, the secondary, and one without a floor."""
    ours = series(1.0, 1.0)
    primary = compared("processor", ours, series(10.0, floor_of_primary), primary=True)
    wall = compared("wall", ours, series(10.0, floor_of_wall))
    alone = Row("rate", ours, aim=Aim(">=", 0.5))
    return Table("s", "The section", (primary, wall, alone), spoilt_by=spoilt_by)


def verdicts(run: Table) -> list[str]:
    return [run.verdict(row) for row in run.rows]


def test_a_primary_floor_that_moved_voids_every_row_of_the_run() -> None:
    run = a_run(21.0, 10.0)

    assert verdicts(run) == ["void", "void", "void"]
    assert run.void_because == ("the floor of « processor » moved by 2.1",)


def test_a_secondary_floor_that_moved_voids_itself_alone() -> None:
    run = a_run(20.0, 30.0)

    assert verdicts(run) == ["-", "void", "met"]
    assert run.void_because == ()


def test_what_spoilt_a_run_voids_it_whatever_its_figures() -> None:
    assert verdicts(a_run(10.0, 10.0, "loyalty was started again")) == ["void", "void", "void"]
