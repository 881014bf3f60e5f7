"""Owns the spans of a rollout controller: tick, evidence, decision, router. Decides and changes nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from opentelemetry.trace import Span, Tracer, set_span_in_context

from recloser.app.opentelemetry.spans import failed, plain
from recloser.app.opentelemetry.tracing import Tick
from recloser.core import RecloserError
from recloser.ledger import RouteRecord
from recloser.rollout import Evidence, EvidenceSource, Outcome, Rollout, Router


@dataclass(frozen=True, slots=True)
class Act:
    """Something that a tick did: when (nanoseconds since 1970), what about it, and the error that ended it."""

    name: str
    began_ns: int
    ended_ns: int
    facts: dict[str, Any]
    error: RecloserError | None = None


class TickBook:
    """What the tick under way has done so far; ticks of one controller follow each other on one thread."""

    def __init__(self) -> None:
        self.acts: list[Act] = []

    def add(self, name: str, began_ns: int, facts: dict[str, Any], error: RecloserError | None = None) -> None:
        """Note an act that ends now."""
        self.acts.append(Act(name, began_ns, time.time_ns(), facts, error))


class TracedSource:
    """A source of evidence whose gathering is noted."""

    def __init__(self, inner: EvidenceSource, book: TickBook) -> None:
        self._inner, self._book = inner, book

    def gather(self, rollout: Rollout, now: datetime) -> Evidence:
        """Return the inner source's evidence."""
        began = time.time_ns()
        try:
            return self._inner.gather(rollout, now)
        finally:
            facts = {"recloser.rollout": rollout.key, "recloser.release": rollout.release}
            self._book.add("recloser.rollout.evidence", began, facts)


class TracedRouter:
    """A router whose changes of route are noted; whatever else it says is the router's own."""

    def __init__(self, inner: Router, book: TickBook) -> None:
        self._inner, self._book = inner, book

    def set_route(self, route: RouteRecord) -> None:
        """Make every gateway follow `route`, as the inner router does."""
        began, told = time.time_ns(), None
        try:
            self._inner.set_route(route)
        except RecloserError as error:
            told = error
            raise
        finally:
            facts = {
                "recloser.route.epoch": route.epoch,
                "recloser.route.champion": route.champion,
                "recloser.route.canary": route.canary,
                "recloser.route.share": route.share,
                "recloser.reason": route.reason,
            }
            self._book.add("recloser.router.set_route", began, facts, told)

    def current(self) -> RouteRecord | None:
        """Return the route the gateways were last told."""
        return self._inner.current()

    def verify(self, release: str) -> str:
        """Return an empty text if the release is ready, else why not."""
        return self._inner.verify(release)

    def settled(self, epoch: int) -> bool:
        """Return whether every gateway reports this epoch."""
        return self._inner.settled(epoch)


def traced_tick(tracer: Tracer, book: TickBook, tick: Tick, source: EvidenceSource) -> Outcome:
    """Let a controller tick; leave a span if it changed a rollout or a route, or failed. A quiet one leaves none."""
    book.acts.clear()
    began = time.time_ns()
    try:
        outcome = tick(TracedSource(source, book))
    except RecloserError as error:
        failed(_told(tracer, book, began, None), error)
        raise
    action = outcome.action
    changed = action is not None and outcome.rollout is not None and action.changes(outcome.rollout)
    if changed or any(act.name == "recloser.router.set_route" for act in book.acts):
        _told(tracer, book, began, outcome if changed else None)
    return outcome


def _told(tracer: Tracer, book: TickBook, began: int, outcome: Outcome | None) -> Span:
    """Write the spans of a tick that has ended; return its own."""
    ended = time.time_ns()
    span = tracer.start_span("recloser.rollout.tick", start_time=began)
    parent = set_span_in_context(span)
    if outcome is not None and outcome.rollout is not None and outcome.action is not None:
        rollout, action = outcome.rollout, outcome.action
        facts = {
            "recloser.rollout": rollout.key,
            "recloser.release": rollout.release,
            "recloser.rollout.from": str(rollout.state),
            "recloser.rollout.to": str(action.state),
            "recloser.reason": action.reason,
            "recloser.tier": action.tier,
        }
        span.set_attributes(plain(facts))
        gathered = [act.ended_ns for act in book.acts if act.name == "recloser.rollout.evidence"]
        decision = tracer.start_span(
            "recloser.rollout.decision", parent, attributes=plain(facts), start_time=max(gathered, default=began)
        )
        _written(tracer, book, ("recloser.router.set_route",), decision)
        decision.end(ended)
        _written(tracer, book, ("recloser.rollout.evidence",), span)
    else:
        _written(tracer, book, ("recloser.rollout.evidence", "recloser.router.set_route"), span)
    span.end(ended)
    return span


def _written(tracer: Tracer, book: TickBook, names: tuple[str, ...], parent: Span) -> None:
    for act in book.acts:
        if act.name in names:
            context = set_span_in_context(parent)
            span = tracer.start_span(act.name, context, attributes=plain(act.facts), start_time=act.began_ns)
            if act.error is not None:
                failed(span, act.error)
            span.end(act.ended_ns)
