"""The only file that knows CEL: compiles each expression once, evaluates it over facts."""

from collections.abc import Iterable
from functools import lru_cache

import cel

from services.campaigns.domain.definition import Definition
from services.campaigns.domain.facts import NAMES, Facts
from services.campaigns.domain.journey import Judgement

_PROGRAMS_MAX = 4_096


@lru_cache(maxsize=_PROGRAMS_MAX)
def _program(expression: str) -> cel.Program:
    return cel.compile(expression)


def judge(expression: str, facts: Facts) -> Judgement:
    """Whether the expression holds; one that fails or is not a yes or no does not, and says so."""
    try:
        result = _program(expression).execute(dict(facts))
    except (RuntimeError, ValueError, TypeError, OverflowError) as error:
        return Judgement(False, f"the rule could not be evaluated: {_line(error)}")
    if not isinstance(result, bool):
        return Judgement(False, f"the rule is no yes or no but {type(result).__name__}")
    return Judgement(result)


def problems(expressions: Iterable[str], names: frozenset[str] = NAMES) -> list[str]:
    """What is wrong with these expressions, before anybody is judged by them."""
    found = []
    for expression in expressions:
        try:
            unknown = set(_program(expression).variables()) - names
        except ValueError as error:
            found.append(f"{expression!r}: {_line(error)}")
        else:
            found += [f"{expression!r}: {name!r} is not a known fact" for name in sorted(unknown)]
    return found


def accepted(definition: Definition) -> Definition:
    """The definition, once all its expressions compile over known facts; else a `ValueError`."""
    wrong = problems(definition.expressions())
    if wrong:
        raise ValueError(f"{definition.journey} {definition.version}: {'; '.join(wrong)}")
    return definition


def _line(error: Exception) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
