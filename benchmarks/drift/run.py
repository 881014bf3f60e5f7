"""How often drift detectors cry wolf and how soon they are right: `python benchmarks/drift/run.py`.

Real loads (the data sets beside the project, or `--data DIR`), the operators' own forecasts, a LightGBM champion and a
frozen reference; drifts and faults put in at places fixed in `injected.py` and `faults.py`. Settings were chosen on
2016 and 2012 alone; tables are of later years. `--make-venvs DIR` makes a Python of its own for each peer there (river,
NannyML) if it is missing, and adds it; `--venvs DIR` takes those that are there. One process per core, or `--jobs N`.
`--json FILE` keeps the numbers; `--quick` is for tests.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass
from pathlib import Path

from driver import Unit, pace
from faults import confusion, found_faults, found_stamps
from injected import CHANGES
from rivals import METHODS
from scoring import Point, alarms, matched, measure, share
from speed import speed
from streams import eia, simulated, victoria
from units import EROSION, NOTHING, pooled, units_of

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"
PEERS = {
    "river": ("river==0.26.1", "numpy", "scipy"),
    "nannyml": ("nannyml==0.13.1", "statsmodels", "scipy"),
}
MOST = 1.0
SEEDS = (2, 3)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the real data sets")
    parser.add_argument("--venvs", type=Path, metavar="DIR", help="folder with a virtual environment for each peer")
    parser.add_argument("--make-venvs", type=Path, metavar="DIR", help="make them there if they are missing")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help=f"of {', '.join(METHODS)}, {', '.join(PEERS)}")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes; default: one per core")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all points there")
    parser.add_argument("--only", nargs="+", choices=("drift", "faults", "speed"), default=("drift", "faults", "speed"))
    parser.add_argument("--quick", action="store_true", help="one method, simulated feeders only: for tests")
    asked = parser.parse_args()
    if not asked.data.exists() and not asked.quick:
        print(f"skipped: the real data sets are not there ({asked.data.name})")
        return
    if "speed" in asked.only:
        print("\n## Speed and memory\n", speed(), sep="\n")
    if "drift" in asked.only:
        units = _units(asked.data, quick=asked.quick)
        measured = _quick(units) if asked.quick else _points(units, _tasks(asked), asked.jobs)
        report({name: own.points for name, own in measured.items()}, units)
        print("\n| method | rows/s of a core |\n|---|---|")
        print("\n".join(f"| {name} | {own.pace:,.0f} |" for name, own in measured.items()))
        if asked.json is not None:
            kept = {name: {"points": [vars(p) for p in own.points], "pace": own.pace} for name, own in measured.items()}
            asked.json.write_text(json.dumps(kept))
    if "faults" in asked.only and not asked.quick:
        print("\n## Data faults put into real load\n", found_faults(asked.data), sep="\n")
        print("", found_stamps(asked.data), sep="\n")
        print("\n## What was it? First signal within 28 days\n", confusion(asked.data), sep="\n")


def _units(data: Path, *, quick: bool) -> list[Unit]:
    if quick:
        return [unit for one in simulated((1,), 2)[:1] for unit in units_of(one)]
    us = [unit for one in eia(data) for unit in units_of(one)]
    units = [*us, *pooled(us, "EIA"), *(unit for one in victoria(data) for unit in units_of(one))]
    for seed in SEEDS:
        feeders = [unit for one in simulated((seed,), 6) for unit in units_of(one)]
        units += [*feeders, *pooled(feeders, f"sim{seed}")]
    return units


@dataclass
class Measured:
    """What a method did: its points, the default first, and hourly rows a second of one core."""

    points: list[Point]
    pace: float


def _quick(units: list[Unit]) -> dict[str, Measured]:
    name, (method, grid) = next(iter(METHODS.items()))
    return {name: Measured(measure(method, grid[:1], units), pace(method))}


def _tasks(asked: argparse.Namespace) -> dict[str, Path | None]:
    """Return the methods asked for, those of a peer with its Python; the longest first."""
    tasks: dict[str, Path | None] = {**_pythons(asked.venvs, asked.make_venvs), **dict.fromkeys(METHODS)}
    return {name: python for name, python in tasks.items() if asked.methods is None or name in asked.methods}


def _points(units: list[Unit], tasks: dict[str, Path | None], jobs: int) -> dict[str, Measured]:
    """Return what each method does at each strictness, as many methods at a time as there are processes."""
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder, "units.pickle")
        given.write_bytes(pickle.dumps(units))
        with multiprocessing.get_context("spawn").Pool(jobs) as pool:
            parts = pool.starmap(_measured, [(given, *task) for task in tasks.items()], chunksize=1)
    found = {name: own for part in parts for name, own in part.items()}
    return {name: found.pop(name) for name in METHODS if name in found} | found


def _measured(given: Path, name: str, python: Path | None) -> dict[str, Measured]:
    """Return the points of one method of ours, or of all those of a peer, by that peer's own Python."""
    begun = time.perf_counter()
    if python is None:
        method, grid = METHODS[name]
        units = pickle.loads(given.read_bytes())  # noqa: S301 - written by this command a moment ago
        found = {name: Measured(measure(method, grid, units), pace(method))}
    else:
        taken = given.with_name(f"{name}.json")
        script = HERE / f"peer_{name}.py"
        subprocess.run([python, "-W", "ignore", script, given, taken], check=True)
        rows = json.loads(taken.read_text())
        found = {
            label: Measured([Point(**point) for point in own["points"]], own["pace"]) for label, own in rows.items()
        }
    print(f"{name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    return found


def _pythons(folder: Path | None, made: Path | None) -> dict[str, Path]:
    """Return each peer's Python; a peer without one is skipped and said so."""
    found = {}
    for name, packages in PEERS.items():
        home = None if (made or folder) is None else Path(made or folder or "", name)
        if made is not None and home is not None and not (home / "bin" / "python").exists():
            venv.create(home, with_pip=True)
            subprocess.run([home / "bin" / "python", "-m", "pip", "install", "--quiet", *packages], check=True)
        if home is not None and (home / "bin" / "python").exists():
            found[name] = home / "bin" / "python"
        else:
            print(f"{name}: skipped (--make-venvs DIR)", file=sys.stderr)
    return found


def report(points: dict[str, list[Point]], units: list[Unit]) -> None:
    """Print one table per kind of series: at the default, tuned on earlier years, at matched false alarms."""
    groups: dict[str, tuple[list[Unit], list[Unit]]] = {}
    for unit in units:
        title = f"{'real' if unit.real else 'simulated'}, {unit.kind}"
        groups.setdefault(title, ([], []))[0 if unit.forward else 1].append(unit)
    for title, wanted in (
        ("real, operator and reference together", {"operator", "reference"}),
        ("real, all three forecasts together", {"operator", "reference", "champion"}),
    ):
        chosen = [u for u in units if u.real and u.kind in wanted]
        groups[title] = ([u for u in chosen if u.forward], [u for u in chosen if not u.forward])
    kinds = (NOTHING, *CHANGES)
    for title, (later, earlier) in groups.items():
        if not later:
            continue
        print(f"\n## {title}: {len(later)} series-years to report, {len(earlier)} to tune\n")
        print(f"| detector | setting | false alarms a series-year | {' | '.join(kinds)} | {EROSION}, in the year |")
        print("|" + "---|" * (len(kinds) + 4))
        for name, own in points.items():
            for setting, point in (
                ("default", own[0]),
                ("tuned", matched(own, earlier, MOST) if earlier else None),
                ("matched", matched(own, later, MOST)),
                ("default, on the years to tune", own[0] if earlier else None),
            ):
                if point is not None:
                    on = earlier if setting.endswith("tune") else later
                    cells = [share(point.of(on, kind)) for kind in kinds]
                    cells.append(share(point.of(on, EROSION), 366))
                    print(f"| {name} | {setting} {point.strictness:g} | {alarms(point, on)} | {' | '.join(cells)} |")
    real = [u for u in units if u.real and not u.kind.startswith("pooled")]
    if real:
        print(f"\nAll {len(real)} real series-years, all years, default: {alarms(points[next(iter(points))][0], real)}")


if __name__ == "__main__":
    main()
