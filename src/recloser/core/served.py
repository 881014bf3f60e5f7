"""Owns the record of an answered forecast: who answered what, and why. Does not store or send it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt

from recloser.core.digests import short_id

FloatArray = npt.NDArray[np.float64]

QUANTILES: tuple[float, ...] = (0.1, 0.5, 0.9)


@dataclass(frozen=True, slots=True)
class Served:
    """One area's forecast of one issue, with the answers of every model that scored it.

    Attributes:
        id: forecast id; a point's prediction id is f'{id}:{k}' with k its index in `targets`.
        area: what was forecast.
        issued_at: nominal issue instant (aware UTC) that the features look back from.
        made_at: when this answer was made; later than `issued_at` for a re-issue after a recall.
        targets: interval starts (aware UTC, ascending), shape (n_targets,).
        quantiles: levels, ascending, shape (n_quantiles,).
        release: release (package digest) or fallback model whose numbers were handed out.
        served_by: 'champion', 'canary' or 'fallback:<name>'.
        reason: empty when the intended model answered, else the guard's or route's reason.
        answers: release -> MW of shape (n_targets, n_quantiles), the served one included.
        void: True once recalled.
    """

    id: str
    area: str
    issued_at: datetime
    made_at: datetime
    targets: tuple[datetime, ...]
    quantiles: tuple[float, ...]
    release: str
    served_by: str
    reason: str = ""
    answers: dict[str, FloatArray] = field(default_factory=dict)
    void: bool = False

    def handed_out(self) -> FloatArray:
        """Return the served MW, shape (n_targets, n_quantiles)."""
        return self.answers[self.release]

    def point_id(self, index: int) -> str:
        """Return the prediction id of the target with that index."""
        return f"{self.id}:{index}"

    def voided(self) -> Served:
        """Return the same record marked void."""
        return replace(self, void=True)


def forecast_id(area: str, issued_at: datetime, made_at: datetime, release: str) -> str:
    """Return the deterministic id of an answer: equal inputs give the equal id on every rerun."""
    return short_id("fc", [area, issued_at, made_at, release])
