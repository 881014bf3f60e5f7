"""Owns label-free divergence of a canary from the champion. Gives numbers; the rollout decides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recloser.core import FloatArray, InvalidInput


@dataclass(frozen=True, slots=True)
class Divergence:
    """How far two models are apart on the same rows.

    Attributes:
        ratio: median over rows of |canary - champion| over the staging quantile; above 1 is unusual.
        largest: the largest such ratio.
        longest_run: most rows in a row (in order of `at`) above the quantile.
        share: share of rows above it.
        unanswered: rows where one of them gave no number; they count as above.
        n: rows compared.
    """

    ratio: float
    largest: float
    longest_run: int
    share: float
    unanswered: int
    n: int

    def tripped(self, steps: int) -> bool:
        """Return whether `steps` rows in a row were above the quantile."""
        return self.longest_run >= steps


def divergence_quantile(canary: FloatArray, champion: FloatArray, scale: FloatArray, level: float = 0.999) -> float:
    """Return the staging quantile of |canary - champion| / scale.

    Args:
        canary: its median forecasts in MW on the staging rows, shape (n_rows,).
        champion: the same of the champion.
        scale: MW, shape (n_rows,).
        level: of the quantile; .999 with 2 h in a row gave 0.17 false episodes per model-month.

    Raises:
        InvalidInput: no comparable rows.
    """
    apart = np.abs(canary - champion) / scale
    known = apart[np.isfinite(apart)]
    if not known.size:
        raise InvalidInput("no rows to compare", expected="staging rows that both models answered")
    return float(np.quantile(known, level))


def divergence(canary: FloatArray, champion: FloatArray, scale: FloatArray, quantile: float) -> Divergence:
    """Compare two models' median forecasts of one area in order of time.

    Args:
        canary: MW, shape (n_rows,).
        champion: MW, shape (n_rows,).
        scale: MW, shape (n_rows,).
        quantile: from `divergence_quantile`.
    """
    apart = np.abs(canary - champion) / scale / max(quantile, 1e-9)
    unknown = ~np.isfinite(apart)
    above = unknown | (apart > 1.0)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], above.astype(np.int8), [0]])))
    runs = edges[1::2] - edges[::2]
    known = apart[~unknown]
    return Divergence(
        ratio=float(np.median(known)) if known.size else float("nan"),
        largest=float(known.max()) if known.size else float("nan"),
        longest_run=int(runs.max()) if runs.size else 0,
        share=float(above.mean()) if above.size else 0.0,
        unanswered=int(unknown.sum()),
        n=len(apart),
    )
