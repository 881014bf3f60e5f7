"""Does a bias corrector pay between retrainings? `python benchmarks/corrector/run.py OUT [OUT ...]`.

OUT is the folder of a finished `benchmarks/replay/run.py --out OUT`. For each policy in it the raw forecasts of the
replay are corrected day by day, each day by the days that had closed when it was issued (two days back): not at all, as
served then, by candidates, by the best candidate up to that day (expanding), and by the corrector in use.
Prints the error in percent of the load by area.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from residuals import Series, read_replay

from recloser.core import FloatArray
from recloser.models.calibration import BLOCKS
from recloser.models.online.corrector import BiasCorrector

BEHIND = 2  # a day is corrected by days that were closed at its issue
LIMIT = 0.1
Corrector = Callable[[Series], FloatArray]
"""A series -> MW to add to its raw medians, shape (n_days, n_steps)."""


def errors(series: Series) -> FloatArray:
    """Return (truth - raw) / scale, shape (n_days, n_steps)."""
    return (series.truth - series.raw) / series.scale[:, None]


def nothing(series: Series) -> FloatArray:
    """Correct nothing."""
    return np.zeros_like(series.raw)


def product(series: Series) -> FloatArray:
    """Correct as the version that made the replay did."""
    return series.served - series.raw


def trailing_median(days: int, share: float) -> Corrector:
    """Add a share of the median error of the newest days."""

    def correct(series: Series) -> FloatArray:
        found = np.zeros_like(series.raw)
        error = errors(series)
        for k in range(BEHIND + 3, len(series.days)):
            known = error[max(0, k - BEHIND - days + 1) : k - BEHIND + 1]
            bias = np.nanmedian(known) if np.isfinite(known).any() else 0.0
            found[k] = np.clip(share * bias, -LIMIT, LIMIT) * series.scale[k]
        return found

    return correct


def level(half_life: float, prior: float, blocks: int = 1, *, kinds: bool = False) -> Corrector:
    """Add the exponentially weighted mean error, shrunk as if `prior` days had been without one.

    With blocks each part of the day has a part of its own, shrunk to the day's; with `kinds` so have days off.
    """
    keep = 0.5 ** (1.0 / half_life)

    def correct(series: Series) -> FloatArray:
        found = np.zeros_like(series.raw)
        error = errors(series)
        part = np.minimum((series.hours * blocks / 24.0).astype(int), blocks - 1)
        off = np.array([day.weekday() >= 5 for day in series.days])
        total = weight = 0.0
        by_block, block_weight = np.zeros(blocks), 0.0
        by_kind, kind_weight = np.zeros((2, blocks)), np.zeros(2)
        for k in range(len(series.days)):
            seen = k - BEHIND
            if seen >= 0 and np.isfinite(error[seen]).sum() >= error.shape[1] // 2:
                mean = float(np.nanmean(error[seen]))
                total, weight = keep * total + mean, keep * weight + 1.0
                blockwise = np.array([np.nanmean(error[seen][part == b]) for b in range(blocks)])
                apart = np.nan_to_num(blockwise - mean)
                by_block, block_weight = keep * by_block + apart, keep * block_weight + 1.0
                kind = int(off[seen])
                left = np.nan_to_num(blockwise - (total / (weight + prior)) - by_block / (block_weight + prior))
                by_kind[kind], kind_weight[kind] = keep**0.5 * by_kind[kind] + left, keep**0.5 * kind_weight[kind] + 1.0
            offset = np.full(blocks, total / (weight + prior))
            if blocks > 1:
                offset = offset + by_block / (block_weight + 2.0 * prior)
            if kinds:
                offset = offset + by_kind[int(off[k])] / (kind_weight[int(off[k])] + 2.0 * prior)
            found[k] = np.clip(offset, -LIMIT, LIMIT)[part] * series.scale[k]
        return found

    return correct


def in_use(series: Series) -> FloatArray:
    """Correct as the product's bias corrector does, by the product's code."""
    error, part = errors(series), np.minimum((series.hours * BLOCKS / 24.0).astype(np.int64), BLOCKS - 1)
    found, one = np.zeros_like(series.raw), BiasCorrector()
    for k, day in enumerate(series.days):
        if k >= BEHIND:
            one = one.learned(series.days[k - BEHIND], error[k - BEHIND], part)
        found[k] = one.applied()[part] * series.scale[k]
        one = one.gave(day)
    return found


CANDIDATES: dict[str, Corrector] = {
    "none": nothing,
    "median 14 d, half": trailing_median(14, 0.5),
    "median 7 d, whole": trailing_median(7, 1.0),
    "level 4 d": level(4, 2),
    "level 8 d": level(8, 4),
    "level 16 d": level(16, 8),
    "blocks 8 d": level(8, 4, 8),
    "blocks 16 d": level(16, 8, 8),
    "blocks, kinds 8 d": level(8, 4, 8, kinds=True),
    "blocks, kinds 16 d": level(16, 8, 8, kinds=True),
}


def daily_loss(series: Series, correction: FloatArray) -> FloatArray:
    """Return the mean absolute error of each day in shares of the scale, NaN where unknown, shape (n_days,)."""
    apart = np.abs(series.truth - series.raw - correction) / series.scale[:, None]
    known = np.isfinite(apart)
    count = known.sum(axis=1)
    total = np.where(known, apart, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def chosen(series: Series, corrections: dict[str, FloatArray], memory: float = 90.0) -> FloatArray:
    """Return for each day the correction that had lost least up to the days closed at its issue, recent ones more."""
    losses = {name: np.nan_to_num(daily_loss(series, one)) for name, one in corrections.items()}
    keep, sums = 0.5 ** (1.0 / memory), dict.fromkeys(corrections, 0.0)
    found = np.zeros_like(series.raw)
    for k in range(len(series.days)):
        if k >= BEHIND:
            sums = {name: keep * total + losses[name][k - BEHIND] for name, total in sums.items()}
        best = min(sums, key=lambda name: (sums[name], name != "none"))
        found[k] = corrections[best][k]
    return found


def percent(series: Series, correction: FloatArray) -> float:
    """Return the sum of absolute errors in percent of the load."""
    apart = np.abs(series.truth - series.raw - correction)
    known = np.isfinite(apart)
    return float(100.0 * apart[known].sum() / np.abs(series.truth[known]).sum())


def table(found: list[Series]) -> str:
    """Return the errors by corrector and area in Markdown, with how often a daily loss was less than without one."""
    names = [*CANDIDATES, "as served then", "chosen as it goes", "in use"]
    rows: dict[str, list[str]] = {name: [] for name in names}
    for series in found:
        corrections = {name: one(series) for name, one in CANDIDATES.items()}
        corrections |= {"chosen as it goes": chosen(series, corrections), "as served then": product(series)}
        corrections["in use"] = in_use(series)
        for name in names:
            rows[name].append(f"{percent(series, corrections[name]):.3f}")
    head = f"| corrector | {' | '.join(series.area for series in found)} | mean |"
    lines = [head, "|" + "---|" * (len(found) + 2)]
    for name in names:
        mean = np.mean([float(cell) for cell in rows[name]])
        lines.append(f"| {name} | {' | '.join(rows[name])} | {mean:.3f} |")
    return "\n".join(lines)


def main() -> None:
    """Print a table for each policy of each replay."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("out", nargs="+", type=Path)
    for out in parser.parse_args().out:
        for scratch in sorted(path for path in (out / "replay" / "work").iterdir() if path.is_dir()):
            found = read_replay(scratch)
            print(f"\n## {out.name}, {scratch.name}: {found[0].days[0]} to {found[0].days[-1]}, wMAPE %\n")
            print(table(found), flush=True)


if __name__ == "__main__":
    main()
