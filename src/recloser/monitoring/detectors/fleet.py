"""Owns the pooling over a fleet: which series changed under false-discovery control, and the fleet's own series."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date

import numpy as np

from recloser.monitoring.detectors.day import BLOCKS, DayErrors
from recloser.monitoring.detectors.detector import Change, Monitor
from recloser.monitoring.residuals import trimmed_mean


def stepped(
    monitors: Mapping[str, Monitor], days: Mapping[str, DayErrors], rate: float, called: Collection[str] = ()
) -> tuple[dict[str, Monitor], dict[str, Change]]:
    """Count one day of every series that has one; return the next monitors and the series that changed.

    A series has changed if its own detector says so, or if all surprises together do (`discoveries`): many series that
    are all a little odd, or one among many that have changed, say more than one alone.

    Args:
        monitors: series -> its detector's state.
        days: series -> its errors of the day.
        rate: of false discoveries among those called together.
        called: series whose change of the last days stands; their detectors have started afresh, the finding counts.
    """
    after, changed = dict(monitors), dict[str, Change]()
    for name, day in sorted(days.items()):
        if name in after:
            after[name], change = after[name].step(day)
            if change is not None:
                changed[name] = change
    known = {*called, *changed}
    surprises = {name: 0.0 if name in known else monitor.surprise for name, monitor in after.items()}
    for name in discoveries(surprises, rate):
        if name in known:
            continue
        after[name], change = after[name].declared()
        if change is not None:
            changed[name] = change
    return after, changed


def discoveries(surprises: Mapping[str, float], rate: float) -> tuple[str, ...]:
    """Return the series that count as changed, at a share of at most `rate` false ones among them on average.

    Benjamini & Hochberg (1995), valid for independent or positively dependent series (Benjamini & Yekutieli 2001):
    areas share their weather, so the dependence is positive. A NaN is no evidence.

    Args:
        surprises: series -> p-value, e.g. `Monitor.surprise`.
        rate: of false discoveries.
    """
    ordered = sorted((p, name) for name, p in surprises.items() if np.isfinite(p))
    kept = 0
    for place, (p, _) in enumerate(ordered, start=1):
        if p <= rate * place / len(surprises):
            kept = place
    return tuple(sorted(name for _, name in ordered[:kept]))


def e_discoveries(evidence: Mapping[str, float], rate: float) -> tuple[str, ...]:
    """Return the series that count as changed by e-values, whatever the dependence between them.

    Source: Wang & Ramdas (2022), False discovery rate control with e-values (e-BH).

    Args:
        evidence: series -> e-value (mean at most 1 while nothing has changed).
        rate: of false discoveries.
    """
    ordered = sorted(((e, name) for name, e in evidence.items() if e > 0), reverse=True)
    kept = 0
    for place, (e, _) in enumerate(ordered, start=1):
        if e >= len(evidence) / (rate * place):
            kept = place
    return tuple(sorted(name for _, name in ordered[:kept]))


def pooled_days(series: Sequence[Sequence[DayErrors]], trim: float = 0.2, least_share: float = 0.5) -> list[DayErrors]:
    """Return the fleet's days: the trimmed mean over series of each block, so that a few bad feeds move nothing.

    Args:
        series: one list of days each.
        trim: share of series cut at either end.
        least_share: of the series that must have the day.
    """
    by_day: dict[date, list[DayErrors]] = {}
    for days in series:
        for day in days:
            by_day.setdefault(day.day, []).append(day)
    least = max(1.0, least_share * len(series))
    return [_pooled(own, trim) for _, own in sorted(by_day.items()) if len(own) >= least]


def _pooled(own: list[DayErrors], trim: float) -> DayErrors:
    blocks = []
    for place in range(BLOCKS):
        known = np.array([day.blocks[place] for day in own])
        known = known[np.isfinite(known)]
        blocks.append(trimmed_mean(known, trim) if len(known) else float("nan"))
    absolute = trimmed_mean(np.array([day.absolute for day in own]), trim)
    special = sum(day.special for day in own) * 2 > len(own)
    off = sum(day.off for day in own) * 2 > len(own)
    return DayErrors(own[0].day, tuple(blocks), absolute, off, special, float(np.mean([day.size for day in own])))
