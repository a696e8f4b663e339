"""The only file that knows Liquid: a template has a subject, a text and an HTML part.

An unknown variable is an error unless the template gives a default; loops, nesting and output are
bounded; HTML parts escape what customers chose.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liquid import BoundTemplate, Environment, StrictDefaultUndefined
from liquid.exceptions import LiquidError

_PARTS = ("subject", "text", "html")
_SUBJECT_CHARACTERS_MAX = 500


class _Bounded(Environment):
    """Limits: iterations, bytes of output and of local values, and depth of nesting."""

    loop_iteration_limit = 10_000
    output_stream_limit = 500_000
    local_namespace_limit = 200_000
    context_depth_limit = 20


_PLAIN = _Bounded(undefined=StrictDefaultUndefined, strict_filters=True)
_HTML = _Bounded(undefined=StrictDefaultUndefined, strict_filters=True, autoescape=True)


class TemplateProblem(ValueError):
    """A template cannot be read or rendered; the message says where and why, not with what."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message's content. The subject is one line."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class Template:
    """A template by its name; `sources` are the parts as written."""

    name: str
    sources: Mapping[str, str]
    parts: Mapping[str, BoundTemplate]

    def render(self, variables: Mapping[str, Any]) -> Rendered:
        """The content for these variables; a `TemplateProblem` when one is missing."""
        subject, text, html = (self._render(part, variables) for part in _PARTS)
        return Rendered(" ".join(subject.split())[:_SUBJECT_CHARACTERS_MAX], text, html)

    def _render(self, part: str, variables: Mapping[str, Any]) -> str:
        try:
            return self.parts[part].render(**variables)
        except LiquidError as error:
            raise TemplateProblem(f"{self.name}, {part}: {error.message}") from None

    def variables(self) -> list[str]:
        """The names that the template refers to, in order."""
        names: set[str] = set()
        for part in self.parts.values():
            names |= set(part.analyze().globals)
        return sorted(names)


def template(name: str, sources: Mapping[str, str]) -> Template:
    """A template from its parts' sources; a `TemplateProblem` when one cannot be read."""
    parts = {}
    for part in _PARTS:
        environment = _HTML if part == "html" else _PLAIN
        try:
            parts[part] = environment.from_string(sources[part], name=f"{name}/{part}")
        except LiquidError as error:
            raise TemplateProblem(f"{name}, {part}: {error.message}") from None
    return Template(name, dict(sources), parts)


def read_templates(folder: Path) -> dict[str, Template]:
    """All templates of a folder: `<name>/subject.liquid`, `text.liquid`, `html.liquid`."""
    return {
        one.name: template(
            one.name,
            {part: (one / f"{part}.liquid").read_text(encoding="utf-8") for part in _PARTS},
        )
        for one in sorted(folder.iterdir())
        if one.is_dir()
    }
