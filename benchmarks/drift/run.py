"""How often drift detectors cry wolf and how soon they are right: `python benchmarks/drift/run.py`.

Real loads (the data sets beside the project, or `--data DIR`), the operators' own forecasts, a LightGBM champion and a
frozen reference; drifts and faults put in at places fixed in `injected.py` and `faults.py`. Settings were chosen on
2016 and 2012 alone; tables are of later years. `--peers PYTHON` (with river, numpy, scipy) or `--make-venvs DIR` adds
river; `--json FILE` keeps the numbers; `--quick` is for tests.
"""

from __future__ import annotations

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from driver import Unit
from faults import confusion, found_faults, found_stamps
from injected import CHANGES
from rivals import METHODS
from scoring import Point, alarms, matched, measure, share
from speed import speed
from streams import eia, simulated, victoria
from units import EROSION, NOTHING, pooled, units_of

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"
RIVER = ("river==0.26.1", "numpy", "scipy")
MOST = 1.0


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the real data sets")
    parser.add_argument("--peers", type=Path, metavar="PYTHON", help="a Python with river, numpy and scipy")
    parser.add_argument("--make-venvs", type=Path, metavar="DIR", help="make that Python there if it is missing")
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
        points = _points(units, _python(asked.peers, asked.make_venvs), quick=asked.quick)
        report(points, units)
        if asked.json is not None:
            asked.json.write_text(json.dumps({name: [vars(p) for p in own] for name, own in points.items()}))
    if "faults" in asked.only and not asked.quick:
        print("\n## Data faults put into real load\n", found_faults(asked.data), sep="\n")
        print("", found_stamps(asked.data), sep="\n")
        print("\n## What was it? First signal within 28 days\n", confusion(asked.data), sep="\n")


def _units(data: Path, *, quick: bool) -> list[Unit]:
    if quick:
        return [unit for one in simulated((1,), 2)[:1] for unit in units_of(one)]
    us = [unit for one in eia(data) for unit in units_of(one)]
    feeders = [unit for one in simulated((2,), 6) for unit in units_of(one)]
    vic = [unit for one in victoria(data) for unit in units_of(one)]
    return [*us, *pooled(us, "EIA"), *vic, *feeders, *pooled(feeders, "simulated")]


def _points(units: list[Unit], python: Path | None, *, quick: bool) -> dict[str, list[Point]]:
    found = {}
    for name, (method, grid) in METHODS.items():
        begun = time.perf_counter()
        found[name] = measure(method, grid[:1] if quick else grid, units)
        print(f"{name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr)
        if quick:
            return found
    if python is None:
        print("river: skipped (--peers PYTHON or --make-venvs DIR)", file=sys.stderr)
        return found
    with tempfile.TemporaryDirectory() as folder:
        given, taken = Path(folder, "units.pickle"), Path(folder, "points.json")
        given.write_bytes(pickle.dumps(units))
        subprocess.run([python, "-W", "ignore", HERE / "peer_river.py", given, taken], check=True)
        rows = json.loads(taken.read_text())
    return found | {name: [Point(**point) for point in own] for name, own in rows.items()}


def _python(peers: Path | None, folder: Path | None) -> Path | None:
    if peers is not None or folder is None:
        return peers
    home = folder / "river"
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *RIVER], check=True)
    return python


def report(points: dict[str, list[Point]], units: list[Unit]) -> None:
    """Print one table per kind of series: at the default, tuned on earlier years, at matched false alarms."""
    groups: dict[str, tuple[list[Unit], list[Unit]]] = {}
    for unit in units:
        title = f"{'real' if unit.real else 'simulated'}, {unit.kind}"
        groups.setdefault(title, ([], []))[0 if unit.forward else 1].append(unit)
    everything = [u for u in units if u.real and u.kind in {"operator", "reference"}]
    groups["real, operator and reference together"] = (
        [u for u in everything if u.forward],
        [u for u in everything if not u.forward],
    )
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
            ):
                if point is not None:
                    cells = [share(point.of(later, kind)) for kind in kinds]
                    cells.append(share(point.of(later, EROSION), 366))
                    print(f"| {name} | {setting} {point.strictness:g} | {alarms(point, later)} | {' | '.join(cells)} |")
    real = [u for u in units if u.real and not u.kind.startswith("pooled")]
    if real:
        print(f"\nAll {len(real)} real series-years, all years, default: {alarms(points[next(iter(points))][0], real)}")


if __name__ == "__main__":
    main()
