"""How often a canary rule is wrong and how long it takes, on real residuals: `python benchmarks/rollout/run.py`.

Real models are trained on the real data sets beside the project (skipped when absent) and scored on days they had not
seen; 56-day canaries are drawn from those days in blocks of 7. A worse canary is the same one with every loss raised.
`--quick` trains for one area and draws few; `--losses FILE` keeps the scored days, so that a second run need not train.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path += [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1] / "accuracy")]

from data import DATA
from gross import gross
from pairs import KINDS, Pair, losses, pairs
from rules import NEVER, RULES, Canary, Rule, kayenta, promoted

DAYS, BLOCK = 56, 7
WORSE = (0.05, 0.10, 0.20)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--draws", type=int, default=400, help="canaries per pair and effect")
    parser.add_argument("--losses", type=Path, help="read the scored days from this .npz, or write them there")
    parser.add_argument("--quick", action="store_true", help="one area, few canaries: for tests")
    asked = parser.parse_args()
    if not DATA.exists():
        print(f"skipped: the real data sets are not there ({DATA.parent.name}/{DATA.name} beside the project)")
        return
    found = pairs(_table(asked.losses, quick=asked.quick))
    draws = 20 if asked.quick else asked.draws
    for title, group in _groups(found):
        print(f"\n## {title}")
        report(group, draws)
    single = [pair for pair in found if "areas" not in pair.name and pair.name.endswith(KINDS[0])]
    print("\n## Gross faults, caught by the label-free guard on the first forecast")
    caught, per_canary = gross(single)
    print("| fault | caught |\n|---|---|")
    for name, share in caught:
        print(f"| {name} | {100 * share:.1f} % |")
    print(f"\nEqual canaries that it trips in 56 days: {100 * per_canary:.1f} %")


def _table(path: Path | None, *, quick: bool) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    if path is not None and path.exists():
        with np.load(path) as stored:
            return {key.replace("|", "/"): stored[key] for key in stored}
    table = losses(quick=quick)
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


def acts(pair: Pair, rule: Rule, worse: float, draws: int) -> np.ndarray:  # type: ignore[type-arg]
    """Return the day on which the rule acts, for canaries whose losses are (1 + worse) times as large."""
    rng = np.random.default_rng(7)
    result = np.empty(draws)
    for number in range(draws):
        days, staging = _blocks(rng, len(pair.champion)), _blocks(rng, len(pair.champion))
        canary = Canary(
            candidate=(1.0 + worse) * pair.candidate[days],
            champion=pair.champion[days],
            candidate_error=(1.0 + worse) * pair.candidate_error[days],
            champion_error=pair.champion_error[days],
            staging=np.stack([pair.candidate[staging].mean(axis=1), pair.champion[staging].mean(axis=1)]),
            staging_error=float(pair.champion_error[staging].mean()),
            draw=rng,
        )
        result[number] = rule(canary)
    return result


def _blocks(rng: np.random.Generator, count: int) -> np.ndarray:  # type: ignore[type-arg]
    starts = rng.integers(0, count, size=DAYS // BLOCK)
    result: np.ndarray = ((starts[:, None] + np.arange(BLOCK)) % count).ravel()  # type: ignore[type-arg]
    return result


def _median(days: np.ndarray) -> str:  # type: ignore[type-arg]
    middle = float(np.median(days))
    found = f"{100 * np.isfinite(days).mean():.0f} %"
    return f"- ({found})" if middle == NEVER else f"{middle:.0f} d ({found})"


if __name__ == "__main__":
    main()
