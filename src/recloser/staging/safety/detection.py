"""Owns what a detector may not do on windows that are broken: no number that is none, no event of the grid.

Makes no windows and knows no phasor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from recloser.core import FloatArray
from recloser.staging.verdict import HOLD, PASS, REFUSE, CheckResult

FACTORS = (10.0, -10.0, 1e9, -1e9)
SEED = 20260101


@dataclass(frozen=True, slots=True)
class DetectionProbe:
    """Windows to be tried.

    Attributes:
        kinds: names of the columns of answers.
        data_kinds: those that tell of the measurement and not of the grid.
        quiet: features of windows in which nothing happens, shape (n, n_features).
        lost: the same windows with half of the PMUs gone.
        threshold: probability from which an event is told.
        most_share: of `lost` that may be named an event of the grid.
    """

    kinds: tuple[str, ...]
    data_kinds: tuple[str, ...]
    quiet: FloatArray
    lost: FloatArray
    threshold: float = 0.5
    most_share: float = 0.05


def check_detection_safety(answer: Callable[[FloatArray], FloatArray], probe: DetectionProbe) -> Iterator[CheckResult]:
    """Check that odd inputs give probabilities or nothing, and that lost PMUs are no event of the grid.

    Args:
        answer: features (n, n_features) -> probabilities (n, n_kinds).
        probe: windows.
    """
    if not len(probe.quiet) or not len(probe.lost):
        yield CheckResult("safety.odd_inputs", HOLD, "no quiet window to try odd inputs on")
        return
    yield _odd(answer, probe)
    yield _lost(answer, probe)


def _odd(answer: Callable[[FloatArray], FloatArray], probe: DetectionProbe) -> CheckResult:
    rng = np.random.default_rng(SEED)
    tried = [probe.quiet * factor for factor in FACTORS]
    holes = probe.quiet.copy()
    holes[rng.random(holes.shape) < 0.4] = np.nan
    tried += [holes, np.full_like(probe.quiet, np.nan), np.full_like(probe.quiet, np.inf)]
    bad = 0
    for rows in tried:
        found = answer(rows)
        bad += int((~(np.isnan(found) | ((found >= 0.0) & (found <= 1.0)))).any(axis=1).sum())
    numbers = {"windows": sum(len(rows) for rows in tried), "no_probability": bad}
    if bad:
        return CheckResult("safety.odd_inputs", REFUSE, f"{bad} odd inputs are answered by no probability", numbers)
    return CheckResult("safety.odd_inputs", PASS, "odd inputs are answered by probabilities or not at all", numbers)


def _lost(answer: Callable[[FloatArray], FloatArray], probe: DetectionProbe) -> CheckResult:
    name, thresholds = "safety.lost_pmus", {"share": probe.most_share, "threshold": probe.threshold}
    of_grid = [index for index, kind in enumerate(probe.kinds) if kind not in probe.data_kinds]
    found = np.nan_to_num(answer(probe.lost)[:, of_grid])
    share = float((found >= probe.threshold).any(axis=1).mean()) if of_grid else 0.0
    told = f"with half of the PMUs gone {share:.0%} of quiet windows are called an event of the grid"
    numbers = {"windows": len(probe.lost), "share": share}
    verdict = REFUSE if share > probe.most_share else PASS
    return CheckResult(name, verdict, told, numbers, thresholds)
