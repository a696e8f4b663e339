"""The house rules that no linter knows, as functions from a source file to its offences."""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

LINES_MAX = 400
FUNCTION_LINES_MAX = 50
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "misc", "tools"}
# Only the runtime ends a transaction, so that one request or batch is one transaction.
COMMITTERS = ("shared/runtime/", "tests/", "bench/")
NAIVE = re.compile(
    r"datetime\.(utcnow|utcfromtimestamp)\(|datetime\.now\(\)|fromtimestamp\([^,)]*\)"
)
PATCHES = re.compile(r"\b(mock\.patch|monkeypatch\.setattr|mocker\.)")


@dataclass(frozen=True, slots=True)
class Source:
    """A file of the repository: its path from the root, and its text."""

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def in_tests(self) -> bool:
        return self.path.startswith("tests/")


Rule = Callable[[Source], Iterator[str]]


def not_too_long(source: Source) -> Iterator[str]:
    """A file is read in one sitting."""
    lines = source.text.count("\n")
    if lines > LINES_MAX:
        yield f"{lines} lines, at most {LINES_MAX}"


def small_functions(source: Source) -> Iterator[str]:
    """A function fits on a screen."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{node.name} has {lines} lines, at most {FUNCTION_LINES_MAX}"


def telling_name(source: Source) -> Iterator[str]:
    """A file says what it is about; a bucket says nothing."""
    if PurePosixPath(source.path).stem in VAGUE_NAMES:
        yield "a file is named after its subject"


def module_docstring(source: Source) -> Iterator[str]:
    """Every module says in a sentence why it is there; package files are empty."""
    empty = PurePosixPath(source.path).name == "__init__.py"
    if empty and source.text.strip():
        yield "package files stay empty"
    if not empty and not ast.get_docstring(source.tree):
        yield "the module has no docstring"


def only_the_runtime_commits(source: Source) -> Iterator[str]:
    """A commit elsewhere would split what must be one."""
    if source.path.startswith(COMMITTERS):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and node.attr == "commit":
            yield f"line {node.lineno} commits"


def nothing_is_patched(source: Source) -> Iterator[str]:
    """Parts are handed over, so tests hand over others instead of patching."""
    if source.path == "tests/architecture/test_tidy.py":
        return
    for number, line in enumerate(source.text.splitlines(), 1):
        if PATCHES.search(line) and "re.compile" not in line:
            yield f"line {number} patches"


def aware_instants(source: Source) -> Iterator[str]:
    """An instant without a zone is a bug that waits for a daylight-saving change."""
    if source.path.startswith("tests/architecture/"):
        return
    for number, line in enumerate(source.text.splitlines(), 1):
        if NAIVE.search(line):
            yield f"line {number} makes a naive datetime"


def no_swallowed_errors(source: Source) -> Iterator[str]:
    """`except …: pass` hides what went wrong."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler) and all(
            isinstance(one, ast.Pass) for one in node.body
        ):
            yield f"line {node.lineno} swallows an error"


def no_unfinished_work(source: Source) -> Iterator[str]:
    """What is unfinished is written in an issue, not left in the code."""
    if source.path.startswith("tests/architecture/"):
        return
    for number, line in enumerate(source.text.splitlines(), 1):
        if re.search(r"#.*\b(TODO|FIXME|XXX)\b|\bNotImplementedError\b", line):
            yield f"line {number} is unfinished"


def no_skipped_tests(source: Source) -> Iterator[str]:
    """A missing part is a failure; a test that cannot run proves nothing."""
    if source.path.startswith("tests/architecture/"):
        return
    for number, line in enumerate(source.text.splitlines(), 1):
        if re.search(r"pytest\.(skip|importorskip|mark\.(skip|xfail))", line):
            yield f"line {number} skips"


RULES: tuple[Rule, ...] = (
    not_too_long,
    small_functions,
    telling_name,
    module_docstring,
    only_the_runtime_commits,
    nothing_is_patched,
    aware_instants,
    no_swallowed_errors,
    no_unfinished_work,
    no_skipped_tests,
)
