"""Owns what the platform asks of traces. Needs no library, and traces nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from starlette.types import ASGIApp

from recloser.core import Clock
from recloser.engines import ProgressListener
from recloser.ledger import NoticeRecord
from recloser.rollout import EvidenceSource, Outcome, Router
from recloser.serving import Gateway, Predictor
from recloser.serving.plane import DataPlane, PlanePolicy

Tick = Callable[[EvidenceSource], Outcome]
Sending = Callable[[NoticeRecord], AbstractContextManager[Mapping[str, str]]]
"""Holds a span in the block; gives the headers that carry it to a receiver."""


class Tracing(Protocol):
    """Where traces are made. Thread safe. Never raises for a collector that is away, and never waits for it."""

    def web(self, app: ASGIApp) -> ASGIApp:
        """Return the application with a span around each request."""
        ...

    def plane(self, gateway: Gateway, clock: Clock, policy: PlanePolicy | None) -> DataPlane:
        """Return a data plane that tells who answered each request, and how long each model took."""
        ...

    def predictor(self, name: str, predictor: Predictor) -> Predictor:
        """Return the model with its calls timed; the same object for the same model."""
        ...

    def router(self, router: Router) -> Router:
        """Return the router with its calls noted for the tick under way."""
        ...

    def tick(self, tick: Tick, source: EvidenceSource) -> Outcome:
        """Let a rollout controller tick; one that changed something leaves a span."""
        ...

    def run(self, key: str, facts: Mapping[str, Any]) -> AbstractContextManager[ProgressListener]:
        """Hold the span of a pipeline run in the block; what it gives is to be told of the steps."""
        ...

    def sending(self, notice: NoticeRecord) -> AbstractContextManager[Mapping[str, str]]:
        """Hold the span of a notice on its way in the block; give the headers that carry it on."""
        ...

    def close(self) -> None:
        """Send what is left, for a few seconds at most."""
        ...
