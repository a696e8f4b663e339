"""Structured logs and trace context. No personal data: customers appear as a short hash.

Traces use the OpenTelemetry API, which does nothing until a process is given an SDK (such as by
starting it with `opentelemetry-instrument`). The W3C `traceparent` travels through Kafka headers
whether or not spans are recorded.
"""

import logging
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.ids import customer_hash

_PROPAGATOR = TraceContextTextMapPropagator()
_SECRET_NAMES = frozenset(
    {
        "authorization",
        "secret",
        "password",
        "token",
        "email",
        "phone",
        "name",
        "text",
        "customer_id",
    }
)


def configure_logging(service: str, level: str) -> None:
    """JSON lines on standard error, one per happening, with the service's name."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _redact,
            structlog.processors.ExceptionRenderer(_stack),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(handlers=[_Foreign()], level=logging.WARNING, force=True)
    for noisy in ("aiokafka", "kafka", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


class _Foreign(logging.Handler):
    """What libraries log, in our form and without the texts of exceptions."""

    def emit(self, record: logging.LogRecord) -> None:
        line = logger(record.name).error if record.exc_info else logger(record.name).warning
        line(record.getMessage(), exc_info=record.exc_info)


def told(error: BaseException) -> dict[str, str]:
    """What a log line says of an error. The text of a foreign one may quote somebody's data."""
    frames = traceback.extract_tb(error.__traceback__)
    fields = {"error": type(error).__name__}
    if frames:
        fields["at"] = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
    if _is_plain(error):
        fields["detail"] = str(error)[:200]
    return fields


def _is_plain(error: BaseException) -> bool:
    """Our own exceptions are worded without personal data, and an operating system knows none."""
    return type(error).__module__.startswith("shared.") or isinstance(error, OSError)


def _stack(exc_info: Any) -> str:
    """Where it happened and why, as a traceback tells it, without the texts of foreign errors."""
    parts: list[str] = []
    error: BaseException | None = exc_info[1]
    while error is not None:
        text = f": {error}" if _is_plain(error) else ""
        frames = "".join(traceback.format_tb(error.__traceback__))
        parts.append(f"{frames}{type(error).__name__}{text}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\ncaused:\n".join(reversed(parts))


def _redact(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> dict[str, Any]:
    return {key: "[redacted]" if key in _SECRET_NAMES else value for key, value in entry.items()}


def logger(name: str) -> Any:
    """A logger whose events are short sentences and whose details are fields."""
    return structlog.get_logger(part=name)


def event_fields(event: Any) -> dict[str, str | None]:
    """What a log line says of an event: id, type, cause, and the customer as a hash."""
    return {
        "event_id": event.id,
        "event_type": event.type,
        "cause": event.cause,
        "customer": customer_hash(event.subject),
    }


@contextmanager
def span(name: str, traceparent: str | None = None) -> Iterator[str | None]:
    """A span that continues `traceparent`; yields the header to pass on (None when not traced)."""
    parent = _PROPAGATOR.extract({"traceparent": traceparent}) if traceparent else None
    with trace.get_tracer("tenure").start_as_current_span(name, context=parent):
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        yield carrier.get("traceparent", traceparent)
