"""The tracking plan: what a shop itself asks of the `data` of its events, type by type."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from services.ingest.domain import hostile
from services.ingest.domain.checks import Allowance, Checker, checker_of, too_many
from services.ingest.domain.flaws import Flaw
from services.ingest.domain.intake import may_be_posted
from services.ingest.domain.schema import Errors, Inspection

Mode = Literal["allow", "warn", "reject"]
MODES: tuple[str, ...] = get_args(Mode)
TYPES_MAX = 500
UNPLANNED = "unplanned"
_ERRORS_MAX = 50
_DEPTH_MAX = 100


@dataclass(frozen=True, slots=True)
class Planned:
    """What is asked of one type of event: in mode `allow` nothing is checked."""

    mode: Mode
    checker: Checker


@dataclass(frozen=True, slots=True)
class Plan:
    """One version of the plan, ready to check with. `unplanned` is the mode of other types."""

    version: int
    types: Mapping[str, Planned]
    unplanned: Mode

    def mode_of(self, kind: str) -> Mode:
        """What is done about violations by a type of event."""
        planned = self.types.get(kind)
        return planned.mode if planned is not None else self.unplanned

    def violations(self, kind: str, line: bytes, allowance: Allowance) -> list[Flaw]:
        """What is wrong with an event, given as compact JSON, whatever the mode. The allowance is
        that of all events of a request."""
        planned = self.types.get(kind)
        if planned is None:
            message = "an event type that is not in the tracking plan"
            return [Flaw("type", message, "plan_violation", UNPLANNED, "type")]
        if allowance.is_spent:
            return [too_many()]
        return planned.checker.flaws(json.loads(line)["data"], allowance)


def complaints(document: Any) -> Errors:
    """What is wrong with `{"unplanned"?, "types": {type: {"mode", "schema"}}}`, with paths."""
    unusable = hostile.find(document, _DEPTH_MAX)
    if unusable:
        return [flaw.under("plan") for flaw in unusable]
    if not isinstance(document, dict) or not isinstance(document.get("types"), dict):
        return [_error("plan.types", "must be an object of event types")]
    errors = [
        _error(f"plan.{name}", "unknown field") for name in document.keys() - {"types", "unplanned"}
    ]
    if document.get("unplanned", "allow") not in MODES:
        errors.append(_error("plan.unplanned", f"must be one of {', '.join(MODES)}"))
    if len(document["types"]) > TYPES_MAX:
        return [*errors, _error("plan.types", f"at most {TYPES_MAX} types")]
    inspection = Inspection()
    for kind, planned in document["types"].items():
        errors += _of_type(kind, planned, f"plan.types.{kind}", inspection)
        if len(errors) >= _ERRORS_MAX:
            break
    return errors[:_ERRORS_MAX]


def ready(version: int, document: Mapping[str, Any]) -> Plan | None:
    """The plan of a document without complaints; None when it asks nothing of anybody."""
    types = {
        kind: Planned(planned["mode"], checker_of(planned["schema"]))
        for kind, planned in document["types"].items()
    }
    unplanned: Mode = document.get("unplanned", "allow")
    asks = unplanned != "allow" or any(one.mode != "allow" for one in types.values())
    return Plan(version, types, unplanned) if asks else None


def _of_type(kind: str, planned: Any, path: str, inspection: Inspection) -> Errors:
    if not may_be_posted(kind):
        return [_error(path[:200], "no type of event that may be posted; GET /v1/event-types")]
    if not isinstance(planned, dict):
        return [_error(path, "must be an object with a mode and a schema")]
    errors = [
        _error(f"{path}.{name}", "unknown field") for name in planned.keys() - {"mode", "schema"}
    ]
    if planned.get("mode") not in MODES:
        errors.append(_error(f"{path}.mode", f"must be one of {', '.join(MODES)}"))
    if "schema" not in planned:
        return [*errors, _error(f"{path}.schema", "required")]
    return errors + inspection.complaints(planned["schema"], f"{path}.schema")


def _error(path: str, message: str) -> dict[str, str]:
    return {"path": path, "message": message}
