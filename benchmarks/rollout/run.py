"""How often a canary rule is wrong and how long it takes, on real residuals: `python benchmarks/rollout/run.py`.

Real models are trained on the real data sets beside the project (skipped when absent) and scored on days they had not
seen; 56-day canaries are drawn from those days in blocks of 7. A worse canary is the same one with every error raised;
a second table has forecasters that are worse in other ways, a third the days in the order in which they came.
`--quick` trains for one area and draws few; `--answers FILE` keeps the forecasts, so that a second run need not train.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path += [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1] / "accuracy")]

from data import DATA
from gross import gross
from pairs import KINDS, Pair, answers, pairs
from rules import NEVER, OURS, RULES, Canary, Rule, kayenta, promoted
from sides import EFFECTS, HARMS, IntArray, Side

DAYS, BLOCK, FITS = 56, 7, 4
WORSE = (0.05, 0.10, 0.20)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--draws", type=int, default=400, help="canaries per pair and effect")
    parser.add_argument("--answers", type=Path, help="read the forecasts from this .npz, or write them there")
    parser.add_argument("--quick", action="store_true", help="one area, few canaries: for tests")
    asked = parser.parse_args()
    if not DATA.exists():
        print(f"skipped: the real data sets are not there ({DATA.parent.name}/{DATA.name} beside the project)")
        return
    found = pairs(_table(asked.answers, quick=asked.quick))
    draws = 20 if asked.quick else asked.draws
    for title, group in _groups(found):
        print(f"\n## {title}")
        report(group, draws)
        truly_worse(group, draws)
        in_order(group)
    print("\n## Gross faults, caught by the label-free guard on the first forecast")
    for kind in KINDS:
        single = [pair for pair in found if "areas" not in pair.name and pair.name.endswith(f" {kind}")]
        caught, monthly, days = gross(single)
        print(f"\n| fault, candidate {kind} | caught |\n|---|---|")
        for name, share in caught:
            print(f"| {name} | {100 * share:.1f} % |")
        print(f"\nEqual candidates it trips: {monthly:.3f} per model-month ({days} days)")


def _table(path: Path | None, *, quick: bool) -> dict[str, np.ndarray]:
    if path is not None and path.exists():
        with np.load(path) as stored:
            return {key.replace("|", "/"): stored[key] for key in stored}
    table = answers(quick=quick)
    if path is not None:
        np.savez(path, **{key.replace("/", "|"): days for key, days in table.items()})  # type: ignore[arg-type]
    return table


def _groups(found: list[Pair]) -> list[tuple[str, list[Pair]]]:
    result = []
    for kind in KINDS:
        own = [pair for pair in found if pair.name.endswith(f" {kind}")]
        single, pooled = [p for p in own if "areas" not in p.name], [p for p in own if "areas" in p.name]
        result.append((f"One area, candidate {kind} ({len(single)} pairs)", single))
        result += [(f"Pooled: {pair.name}", [pair]) for pair in pooled]
    return result


def report(group: list[Pair], draws: int) -> None:
    """Print one group's table: false rollbacks, then median day and share found per effect; then the promotions."""
    print("| rule | false rollback | +5 % | +10 % | +20 % |\n|---|---|---|---|---|")
    for name, rule in RULES.items():
        count = max(5, draws // 10) if rule is kayenta else draws
        false = np.concatenate([acts(pair, rule, 0.0, count) for pair in group])
        cells = [_median(np.concatenate([acts(pair, rule, worse, count) for pair in group])) for worse in WORSE]
        print(f"| {name} | {100 * np.isfinite(false).mean():.1f} % | {' | '.join(cells)} |")
    cells = [
        f"{100 * effect:+.0f} %: {_median(np.concatenate([acts(pair, promoted, effect, draws) for pair in group]))}"
        for effect in (-0.05, 0.0, 0.05, 0.10)
    ]
    print(f"\nPromoted by strict betting under a 5 % margin: {'; '.join(cells)}")


def truly_worse(group: list[Pair], draws: int) -> None:
    """Print what our rules make of forecasters that are worse in other ways; staging saw them before they were."""
    print(f"\n| rule | {' | '.join(f'{name} {100 * x:+.0f} %' for name in HARMS for x in EFFECTS)} |")
    print("|---" * (1 + len(HARMS) * len(EFFECTS)) + "|")
    for name, rule in OURS.items():
        found = [
            np.concatenate([acts(pair, rule, 0.0, max(5, draws // 2), pair.truly[harm, x]) for pair in group])
            for harm in HARMS
            for x in EFFECTS
        ]
        print(f"| {name} | {' | '.join(_median(days) for days in found)} |")


def in_order(group: list[Pair]) -> None:
    """Print the same for days as they came: 56 of staging, the 56 that follow, one fit of both models.

    Scaled to equal means over the half-year of the fit; a season in which one model is worse is in the false rollbacks.
    """
    print("\n| rule, days in order | false rollback | +10 % | +20 % |\n|---|---|---|---|")
    for name, rule in OURS.items():
        cells = [np.array(list(_in_order(group, rule, worse))) for worse in (0.0, 0.10, 0.20)]
        print(f"| {name} | {100 * np.isfinite(cells[0]).mean():.1f} % | {' | '.join(map(_median, cells[1:]))} |")


def _in_order(group: list[Pair], rule: Rule, worse: float) -> Iterator[float]:
    rng = np.random.default_rng(9)
    for pair in group:
        fit = len(pair.champion.loss) // FITS
        for begin in range(0, FITS * fit, fit):
            own = np.arange(begin, begin + fit)
            sides = [one.part(own).over(one.part(own)) for one in (pair.candidate, pair.champion)]
            for day in range(0, fit - 2 * DAYS + 1, BLOCK):
                staging, days = np.arange(day, day + DAYS), np.arange(day + DAYS, day + 2 * DAYS)
                yield rule(_canary(sides[0].times(1.0 + worse).part(days), sides, staging, days, rng))


def acts(pair: Pair, rule: Rule, worse: float, draws: int, harmed: Side | None = None) -> np.ndarray:
    """Return the day on which the rule acts, for canaries whose errors are (1 + worse) times as large, or harmed."""
    rng = np.random.default_rng(7)
    result = np.empty(draws)
    live = pair.candidate.times(1.0 + worse) if harmed is None else harmed
    for number in range(draws):
        days, staging = _blocks(rng, len(pair.champion.loss)), _blocks(rng, len(pair.champion.loss))
        result[number] = rule(_canary(live.part(days), [pair.candidate, pair.champion], staging, days, rng))
    return result


def _canary(live: Side, pair: list[Side], staging: IntArray, days: IntArray, rng: np.random.Generator) -> Canary:
    """Return the canary that answers as `live` does on these days, its pair known from the staging days."""
    before = [one.part(staging) for one in pair]
    champion = pair[1].part(days)
    return Canary(
        candidate=live.loss,
        champion=champion.loss,
        candidate_error=live.error,
        champion_error=champion.error,
        candidate_ramp=live.ramp,
        champion_ramp=champion.ramp,
        staging=np.stack([one.loss.mean(axis=1) for one in before]),
        staging_ramp=np.stack([one.ramp for one in before]),
        staging_error=float(before[1].error.mean()),
        draw=rng,
    )


def _blocks(rng: np.random.Generator, count: int) -> IntArray:
    starts = rng.integers(0, count, size=DAYS // BLOCK)
    result: IntArray = ((starts[:, None] + np.arange(BLOCK)) % count).ravel()
    return result


def _median(days: np.ndarray) -> str:
    middle = float(np.median(days))
    found = f"{100 * np.isfinite(days).mean():.0f} %"
    return f"- ({found})" if middle == NEVER else f"{middle:.0f} d ({found})"


if __name__ == "__main__":
    main()
