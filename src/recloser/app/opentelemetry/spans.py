"""Owns small things that all spans share: times, attributes, errors, and the carriers of a trace."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

PROPAGATOR = TraceContextTextMapPropagator()
"""W3C Trace Context: `traceparent` and `tracestate`."""
NAMED = 10
"""So many areas or releases are named in an attribute."""
Plain = str | bool | int | float | Sequence[str]


def extracted(carrier: Mapping[str, str]) -> Context:
    """Return the caller's trace, empty where it names none."""
    return PROPAGATOR.extract(carrier, Context())


def carried(span: Span) -> dict[str, str]:
    """Return the headers that carry a span on."""
    carrier: dict[str, str] = {}
    PROPAGATOR.inject(carrier, set_span_in_context(span))
    return carrier


def plain(facts: Mapping[str, Any]) -> dict[str, Plain]:
    """Return facts as attributes; what is not there has none."""
    found: dict[str, Plain] = {}
    for name, item in facts.items():
        if item is None or item in ("", []):
            continue
        found[name] = item if isinstance(item, str | bool | int | float | list) else str(item)
    return found


def failed(span: Span, error: BaseException) -> None:
    """Mark a span with the error that ended it."""
    span.record_exception(error)
    span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"[:500]))


def wall_ns(monotonic_s: float) -> int:
    """Return an instant of the monotonic clock as nanoseconds since 1970."""
    return time.time_ns() - int((time.monotonic() - monotonic_s) * 1e9)
