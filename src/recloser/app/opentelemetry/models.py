"""Owns the spans of an answer: who answered a request, and each model's call behind it. Answers nothing itself."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl
from opentelemetry.context import Context
from opentelemetry.trace import Span, Tracer, set_span_in_context

from recloser.app.opentelemetry.spans import NAMED, failed, plain, wall_ns
from recloser.core import Clock, FloatArray, ModelRows
from recloser.serving import Gateway, Predictor
from recloser.serving.answer import Scoring
from recloser.serving.batch import Batch
from recloser.serving.plane import DataPlane, PlanePolicy
from recloser.serving.plane.job import Note

KEPT = 64
"""Calls remembered by a thread; a batch asks a handful of models."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a model, which may have answered several requests at once; monotonic seconds."""

    name: str
    began_s: float
    ended_s: float
    rows: int


class CallBook(threading.local):
    """The latest calls of models on each thread: a batch is answered, and told of, on one thread."""

    def __init__(self) -> None:
        self.calls: deque[Call] = deque(maxlen=KEPT)

    def behind(self, name: str, decided_at: float) -> Call | None:
        """Return the call of a model that a decision at that instant (monotonic seconds) rests on, or followed it."""
        ours = [call for call in self.calls if call.name == name]
        before = [call for call in ours if call.ended_s <= decided_at]
        return before[-1] if before else next((call for call in ours if call.began_s >= decided_at), None)


class TracedPredictor:
    """A model whose calls are noted; whatever else it says is the model's own.

    Args:
        name: release id or name of the rung.
        inner: the model.
        book: where calls are noted.
    """

    def __init__(self, name: str, inner: Predictor, book: CallBook) -> None:
        self.name, self.inner, self._book = name, inner, book
        fast: Callable[[ModelRows], FloatArray] | None = getattr(inner, "predict_rows", None)
        if fast is not None:
            self.predict_rows = self._noted(fast)

    @property
    def release(self) -> str:
        """Release id, or the name of a fallback model."""
        return self.inner.release

    def predict(self, rows: pl.DataFrame) -> FloatArray:
        """Return the model's own answer."""
        return self._noted(self.inner.predict)(rows)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def _noted(self, call: Callable[[Any], FloatArray]) -> Callable[[Any], FloatArray]:
        def timed(rows: Any) -> FloatArray:
            began = time.monotonic()
            try:
                return call(rows)
            finally:
                self._book.calls.append(Call(self.name, began, time.monotonic(), len(rows)))

        return timed


class TracedPlane(DataPlane):
    """A data plane with a span for each request, and below it one for each model that was asked."""

    def __init__(
        self, gateway: Gateway, clock: Clock, policy: PlanePolicy | None, *, tracer: Tracer, book: CallBook
    ) -> None:
        super().__init__(gateway, clock, policy)
        self._tracer, self._book = tracer, book

    async def decide(
        self, batch: Batch, name: str | None = None, timeout_ms: float | None = None, note: Note | None = None
    ) -> Scoring:
        """Answer one request as `DataPlane.decide` does, within a span."""
        span = self._tracer.start_span("recloser.decide", attributes=plain(_asked(batch, name)))
        if not span.is_recording():
            return await super().decide(batch, name, timeout_ms, note)
        parent = set_span_in_context(span)

        def told(scoring: Scoring, decided_at: float) -> None:
            self._tell(parent, scoring, decided_at)
            if note is not None:
                note(scoring, decided_at)

        try:
            scoring = await super().decide(batch, name, timeout_ms, told)
        except BaseException as error:
            failed(span, error)
            raise
        else:
            _answered(span, scoring)
            return scoring
        finally:
            span.end()

    def _tell(self, parent: Context, scoring: Scoring, decided_at: float) -> None:
        serving = {name for name in scoring.release if name is not None}
        for name in dict.fromkeys(name for answers in scoring.answers for name in answers):
            call = self._book.behind(name, decided_at)
            if call is None:
                continue
            facts = {"recloser.release": name, "recloser.rows": call.rows, "recloser.served": name in serving}
            child = self._tracer.start_span(
                "recloser.model", parent, attributes=facts, start_time=wall_ns(call.began_s)
            )
            child.end(wall_ns(call.ended_s))


def _asked(batch: Batch, name: str | None) -> dict[str, Any]:
    return {
        "recloser.model": name or "by route",
        "recloser.rows": batch.n_rows,
        "recloser.areas": list(batch.areas[:NAMED]),
    }


def _answered(span: Span, scoring: Scoring) -> None:
    releases = sorted({name for name in scoring.release if name is not None})
    reasons = list(dict.fromkeys(reason for reason in scoring.reason if reason))
    facts = {
        "recloser.release": releases[:NAMED],
        "recloser.served_by": sorted(set(scoring.served_by))[:NAMED],
        "recloser.reason": reasons[:NAMED],
    }
    span.set_attributes(plain(facts))
    for incident in scoring.incidents[:NAMED]:
        told = {name: item for name, item in incident.to_dict().items() if name != "at"}
        span.add_event(f"incident {incident.kind}", plain({f"recloser.{name}": item for name, item in told.items()}))
