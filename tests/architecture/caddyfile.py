"""Which service a path goes to, as deploy/Caddyfile says: as much of Caddy as that file uses.

Inside its `route` block directives apply in the order written, and `respond` and the snippet `to`,
a reverse proxy, end the request. Path matchers: exact; `/prefix*`; `*suffix`; otherwise a glob
whose `*` stops at slashes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Route:
    """One line that answers: the patterns it is for (none: all), and the upstream or status."""

    patterns: tuple[str, ...]
    answer: str

    def takes(self, path: str) -> bool:
        return not self.patterns or any(matches(pattern, path) for pattern in self.patterns)


def matches(pattern: str, path: str) -> bool:
    """Caddy's `path` matcher, without regard to upper and lower case."""
    pattern, path = pattern.lower(), path.lower()
    inner = pattern.strip("*")
    if "*" not in inner and pattern != inner:
        if pattern.startswith("*"):
            return inner in path if pattern.endswith("*") else path.endswith(inner)
        return path.startswith(inner)
    parts = [re.escape(part) for part in pattern.removesuffix("/*").split("*")]
    rest = "/.*" if pattern.endswith("/*") else ""
    return re.fullmatch("[^/]*".join(parts) + rest, path) is not None


def routes(text: str) -> tuple[Route, ...]:
    """The answering lines of the `route` block, in order; an unknown line is a `ValueError`."""
    lines = [line.split() for line in text.splitlines() if line.split() and line.strip()[0] != "#"]
    named = {
        words[0]: tuple(words[2:])
        for words in lines
        if words[0].startswith("@") and words[1] == "path"
    }
    start = lines.index(["route", "{"])
    return tuple(_routes(iter(lines[start + 1 :]), named))


def _routes(lines: Iterator[list[str]], named: dict[str, tuple[str, ...]]) -> Iterator[Route]:
    inside: tuple[str, ...] = ()
    for words in lines:
        match words:
            case ["handle_path", pattern, "{"]:
                inside = (pattern,)
            case ["}"] if inside:
                inside = ()
            case ["}"]:
                return
            case ["respond", matcher, answer] | ["import", "to", matcher, answer]:
                yield Route(named[matcher], answer)
            case ["import", "to", answer]:
                yield Route(inside, answer)
            case _:
                raise ValueError(f"the test does not know {' '.join(words)}")


def answer_to(path: str, known: tuple[Route, ...]) -> str:
    """The upstream (host:port) or status that answers a path."""
    return next(route.answer for route in known if route.takes(path))
