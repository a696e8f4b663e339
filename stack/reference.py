"""docs/settings.md, generated from the settings classes, so that it cannot lie."""

import re
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

MARKDOWN = Path("docs/settings.md")
_SHARED = ("database_url", "kafka", "clock", "data_dir")
_INTRODUCTION = """# Settings

Generated from the code by `tenure events`; do not edit. Every service reads its own variables,
`<SERVICE>_<NAME>`; a name ends in its unit. `TENURE_DATABASE_URL`, `TENURE_KAFKA`, `TENURE_CLOCK`
and `TENURE_DATA_DIR` set the four that a whole deployment shares, unless a service has its own.
The launcher's own begin with `TENURE_`; what is an object is written as JSON.
"""


def settings_markdown() -> str:
    """One table for what all services have, one for each service's own."""
    from shared.events.topics import SERVICES
    from shared.runtime.settings import RuntimeSettings
    from stack.settings import StackSettings

    parts = [_INTRODUCTION, "\n## Every service\n"]
    own = [name for name in RuntimeSettings.model_fields if name not in _SHARED]
    parts.append(_table("<SERVICE>", RuntimeSettings, [*_SHARED, *own]))
    for service in SERVICES:
        settings = _class_of(service)
        extra = [name for name in settings.model_fields if name not in RuntimeSettings.model_fields]
        changed = [
            name
            for name in own
            if settings.model_fields[name].default != RuntimeSettings.model_fields[name].default
        ]
        parts.append(f"\n## {service}\n")
        parts.append(_table(service.upper(), settings, [*extra, *changed]))
    parts.append("\n## The launcher (`tenure up`, `demo`, tests)\n")
    parts.append(_table("TENURE", StackSettings, list(StackSettings.model_fields)))
    return "\n".join(parts)


def write_settings(root: Path) -> None:
    """Writes the document below the project's root."""
    (root / MARKDOWN).write_text(settings_markdown(), encoding="utf-8")


def stale_settings(root: Path) -> list[str]:
    """The document's name when it is missing or differs from the code."""
    path = root / MARKDOWN
    same = path.exists() and path.read_text(encoding="utf-8") == settings_markdown()
    return [] if same else [str(MARKDOWN)]


def _class_of(service: str) -> Any:
    import importlib

    return type(importlib.import_module(f"services.{service}.main").build().settings)


def _table(prefix: str, settings: Any, names: list[str]) -> str:
    rows = ["| variable | default | limits |", "| --- | --- | --- |"]
    for name in names:
        field = settings.model_fields[name]
        limits = ", ".join(_limit(one) for one in field.metadata if _limit(one))
        rows.append(f"| `{prefix}_{name.upper()}` | {_default(field)} | {limits} |")
    return "\n".join(rows) + "\n"


def _default(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "needed"
    if value is None or isinstance(value, SecretStr) or value in ("", (), {}):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple | list):
        return f"`{','.join(str(one) for one in value)}`"
    return f"`{value}`"


def _limit(constraint: Any) -> str:
    found = re.fullmatch(r"(Ge|Gt|Le|Lt)\(\w+=(.+)\)", repr(constraint))
    if not found:
        return ""
    return {"Ge": "≥ ", "Gt": "> ", "Le": "≤ ", "Lt": "< "}[found[1]] + found[2]
