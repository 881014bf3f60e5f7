"""Owns which action a signal asks for. Takes none."""

from __future__ import annotations

from typing import Literal

from recloser.monitoring.signal import Signal

Action = Literal["mask", "watch", "retrain", "fall_back", "recalibrate"]


def action_of(signal: Signal) -> Action:
    """Return what a signal asks for.

    - data_fault: `mask` (hold, mask the samples, report; never retrain on them).
    - covariate_shift: `watch` (the inputs moved, or a level whose cause nobody can tell; the model copes so far).
    - concept_drift: `retrain`, or `watch` while its cause is unknown: it may be a meter.
    - degradation: `fall_back` where the forecast does worse than the naive floor (critical), else `retrain`; intervals
      alone that hold too much or too little ask to `recalibrate`: the band is learned anew and controlled online.
    """
    match signal.signal_class:
        case "data_fault":
            return "mask"
        case "covariate_shift":
            return "watch"
        case "concept_drift":
            return "watch" if signal.evidence.get("cause") == "unknown" else "retrain"
        case "degradation":
            if signal.evidence.get("kind") == "coverage":
                return "recalibrate"
            return "fall_back" if signal.severity == "critical" else "retrain"
