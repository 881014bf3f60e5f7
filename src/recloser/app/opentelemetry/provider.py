"""Owns the way of spans to a collector: sampling, batches, OTLP over HTTP. What a span says is told elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Self

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind
from starlette.types import ASGIApp

from recloser import __version__
from recloser.app.opentelemetry.models import CallBook, TracedPlane, TracedPredictor
from recloser.app.opentelemetry.rollouts import TickBook, TracedRouter, traced_tick
from recloser.app.opentelemetry.runs import run_span
from recloser.app.opentelemetry.spans import carried, failed, plain
from recloser.app.opentelemetry.tracing import Tick
from recloser.app.opentelemetry.web import TracedWeb
from recloser.core import Clock
from recloser.engines import ProgressListener
from recloser.ledger import NoticeRecord
from recloser.rollout import EvidenceSource, Outcome, Router
from recloser.serving import Gateway, Predictor
from recloser.serving.plane import DataPlane, PlanePolicy

TIMEOUT_S = 5.0
CLOSING_MS = 3_000


class OpenTelemetryTracing:
    """The `Tracing` of a project, by OpenTelemetry; spans go in batches from a thread of their own.

    Args:
        exporter: takes finished spans.
        share: of the traces that nobody else has decided on, in [0, 1].
        project: its name.
    """

    def __init__(self, exporter: SpanExporter, share: float, project: str) -> None:
        facts = {
            "service.name": "recloser",
            "service.namespace": project,
            "service.version": __version__,
            "service.instance.id": str(os.getpid()),
        }
        sampler = ParentBased(TraceIdRatioBased(share))
        self._provider = TracerProvider(sampler, Resource(facts), shutdown_on_exit=False)
        self._processor = BatchSpanProcessor(exporter)
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("recloser", __version__)
        self._calls, self._ticks = CallBook(), TickBook()
        self._predictors: dict[str, TracedPredictor] = {}

    @classmethod
    def to_collector(cls, url: str, token: str | None, share: float, project: str) -> Self:
        """Return tracing to a collector that takes OTLP over HTTP.

        Args:
            url: its address for traces, such as http://127.0.0.1:4318/v1/traces.
            token: sent as a bearer token; None: none is.
            share: see the class.
            project: its name.
        """
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        return cls(OTLPSpanExporter(endpoint=url, headers=headers, timeout=TIMEOUT_S), share, project)

    def web(self, app: ASGIApp) -> ASGIApp:
        """See `Tracing`."""
        return TracedWeb(app, self._tracer)

    def plane(self, gateway: Gateway, clock: Clock, policy: PlanePolicy | None) -> DataPlane:
        """See `Tracing`."""
        return TracedPlane(gateway, clock, policy, tracer=self._tracer, book=self._calls)

    def predictor(self, name: str, predictor: Predictor) -> Predictor:
        """See `Tracing`."""
        known = self._predictors.get(name)
        if known is None or known.inner is not predictor:
            known = self._predictors[name] = TracedPredictor(name, predictor, self._calls)
        return known

    def router(self, router: Router) -> Router:
        """See `Tracing`."""
        return TracedRouter(router, self._ticks)

    def tick(self, tick: Tick, source: EvidenceSource) -> Outcome:
        """See `Tracing`."""
        return traced_tick(self._tracer, self._ticks, tick, source)

    def run(self, key: str, facts: Mapping[str, Any]) -> AbstractContextManager[ProgressListener]:
        """See `Tracing`."""
        return run_span(self._tracer, key, facts)

    @contextmanager
    def sending(self, notice: NoticeRecord) -> Iterator[Mapping[str, str]]:
        """See `Tracing`."""
        told = {"recloser.notice": notice.key, "recloser.kind": notice.kind, "recloser.release": notice.subject}
        span = self._tracer.start_span("recloser.notice", kind=SpanKind.CLIENT, attributes=plain(told))
        try:
            yield carried(span)
        except BaseException as error:
            failed(span, error)
            raise
        finally:
            span.end()

    def close(self) -> None:
        """See `Tracing`."""
        self._provider.force_flush(CLOSING_MS)
        self._provider.shutdown()
