"""Owns the spans of a pipeline run and its steps. Runs nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode, Tracer, set_span_in_context

from recloser.app.opentelemetry.spans import extracted, failed, plain
from recloser.engines import ProgressListener, StepProgress

CARRIERS = {"TRACEPARENT": "traceparent", "TRACESTATE": "tracestate"}
"""Environment variables in which whoever starts a process names the trace that it belongs to."""


@contextmanager
def run_span(tracer: Tracer, key: str, facts: Mapping[str, Any]) -> Iterator[ProgressListener]:
    """Hold the span of a run in the block, in the trace that the environment names; give what hears of its steps."""
    parent = extracted({name: os.environ[word] for word, name in CARRIERS.items() if word in os.environ})
    told = {"recloser.run": key, **{f"recloser.{name}": item for name, item in facts.items()}}
    span = tracer.start_span("recloser.run", parent, attributes=plain(told))
    steps = StepSpans(tracer, set_span_in_context(span))
    try:
        yield steps
    except BaseException as error:
        failed(span, error)
        raise
    finally:
        steps.close()
        span.end()


class StepSpans:
    """Hears of the steps of one run, one after the other."""

    def __init__(self, tracer: Tracer, parent: Context) -> None:
        self._tracer, self._parent = tracer, parent
        self._open: dict[str, Span] = {}

    def __call__(self, step: StepProgress) -> None:
        """Begin, mark or end the span of a step."""
        if step.name not in self._open:
            told = {"recloser.run": step.run, "recloser.step": step.name, "recloser.position": step.position}
            self._open[step.name] = self._tracer.start_span(
                f"recloser.step {step.name}", self._parent, attributes=plain(told)
            )
        span = self._open[step.name]
        if step.state == "retrying":
            span.add_event("retrying", plain({"recloser.reason": step.detail}))
        elif step.state in {"done", "failed", "reused"}:
            span.set_attribute("recloser.state", step.state)
            if step.state == "failed":
                span.set_status(Status(StatusCode.ERROR, step.detail[:500]))
            del self._open[step.name]
            span.end()

    def close(self) -> None:
        """End what was interrupted."""
        for span in self._open.values():
            span.set_status(Status(StatusCode.ERROR, "interrupted"))
            span.end()
        self._open.clear()
