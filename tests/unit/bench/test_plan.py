"""What is kept, what it takes, and of which code it tells."""

import subprocess
from pathlib import Path

import pytest

from bench.machine import describe_commit
from bench.plan import DURATIONS, ROUNDS_MIN, Plan, quick, turns
from bench.progress import announcement, paced


@pytest.mark.parametrize(
    ("plan", "is_kept"),
    [
        (Plan(), True),
        (Plan(rounds=ROUNDS_MIN + 1), True),
        (Plan(rounds=ROUNDS_MIN - 1), False),
        (quick(ROUNDS_MIN, print), False),
    ],
)
def test_only_full_sizes_and_enough_rounds_are_kept(plan: Plan, *, is_kept: bool) -> None:
    assert plan.is_kept is is_kept


def test_everybody_begins_in_turn() -> None:
    assert [turns(("ours", "floor"), number)[0] for number in range(3)] == ["ours", "floor", "ours"]
    assert [turns("abc", number) for number in (1, 2)] == [["b", "c", "a"], ["c", "a", "b"]]


def test_everything_fits_into_forty_minutes() -> None:
    assert sum(Plan().seconds_of(one) for one in DURATIONS) <= 40 * 60


def test_a_run_says_what_it_will_take_and_where_it_is() -> None:
    said: list[str] = []
    plan = Plan(say=said.append)

    assert list(paced(["intake", "growth"], plan)) == ["intake", "growth"]

    minutes = {one: plan.seconds_of(one) / 60 for one in ("intake", "growth")}
    assert said[0] == announcement(["intake", "growth"], plan)
    assert f"about {sum(minutes.values()):.0f} min" in said[0]
    assert said[1] == f"[1/2] intake begins: about {minutes['intake']:.0f} min"
    assert said[2] == f"[1/2] intake took 0.0 min; about {minutes['growth']:.0f} min left"
    assert said[4] == "[2/2] growth took 0.0 min"


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def test_the_commit_is_named_and_whether_the_code_differs_from_it(tmp_path: Path) -> None:
    assert describe_commit(tmp_path) == "not a git checkout"

    code, result = tmp_path / "bench" / "code.py", tmp_path / "bench" / "results.json"
    code.parent.mkdir()
    for path in (code, result):
        path.write_text("1")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    committed = describe_commit(tmp_path)
    result.write_text("2")

    assert len(committed) == 12
    assert describe_commit(tmp_path) == committed

    code.write_text("2")
    assert describe_commit(tmp_path) == f"{committed} (modified)"
