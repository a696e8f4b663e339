"""The house rules hold, and each of them bites."""

import subprocess
from pathlib import Path

import pytest

from tests.architecture import tidy
from tests.architecture.tidy import RULES, Rule, Source

ROOT = Path(__file__).parents[2]
FOLDERS = ("services", "shared", "stack", "bench", "tests")

OFFENDERS: dict[str, Source] = {
    "not_too_long": Source("shared/long.py", '"""Doc."""\n' + "x = 1\n" * 400),
    "small_functions": Source("shared/big.py", '"""Doc."""\ndef big():\n' + "    x = 1\n" * 50),
    "telling_name": Source("services/loyalty/utils.py", '"""Doc."""\n'),
    "module_docstring": Source("shared/silent.py", "x = 1\n"),
    "only_the_runtime_commits": Source(
        "services/loyalty/handlers.py", '"""Doc."""\nasync def f(tx):\n    await tx.commit()\n'
    ),
    "nothing_is_patched": Source(
        "tests/unit/test_x.py", '"""Doc."""\nwith mock.patch("x"):\n    x = 1\n'
    ),
    "aware_instants": Source("shared/when.py", '"""Doc."""\nnow = datetime.now()\n'),
    "no_swallowed_errors": Source(
        "shared/quiet.py", '"""Doc."""\ntry:\n    f()\nexcept ValueError:\n    pass\n'
    ),
    "no_unfinished_work": Source("shared/later.py", '"""Doc."""\nx = 1  # TODO: more\n'),
    "no_skipped_tests": Source(
        "tests/unit/test_y.py", '"""Doc."""\n@pytest.mark.skip\ndef test_y(): ...\n'
    ),
}


def sources() -> list[Source]:
    """What git tracks or would track: not the environment, not a data directory."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *FOLDERS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return [
        Source(path, (ROOT / path).read_text())
        for path in sorted(listed)
        if path.endswith(".py") and (ROOT / path).exists()
    ]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.__name__))
def test_the_sources_keep_the_rule(rule: Rule) -> None:
    offences = [f"{source.path}: {what}" for source in sources() for what in rule(source)]
    assert not offences, "\n".join([rule.__doc__ or "", *offences])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.__name__))
def test_the_rule_bites(rule: Rule) -> None:
    assert list(rule(OFFENDERS[rule.__name__]))


def test_every_rule_has_an_offender() -> None:
    assert {rule.__name__ for rule in RULES} == set(OFFENDERS)


def test_a_clean_file_offends_nothing() -> None:
    clean = Source(
        "shared/clean.py", '"""Doc."""\n\n\ndef double(x: int) -> int:\n    return 2 * x\n'
    )
    assert not [what for rule in RULES for what in rule(clean)]
    assert tidy.LINES_MAX == 400
