"""The control plane at 10, 1,000 and 100,000 assets: what each part of it takes. No model is trained for each asset.

`python benchmarks/sizing/run.py [--assets 10 1000 100000] [--ledger sqlite postgresql] [--json FILE]`. A small project
that has lived through a fortnight and has a canary is given so many assets, their loads of two days and two issues of
forecasts (24 intervals, three levels, answers of champion, canary and fallback). Then real parts work on them, each
measured once in a process of its own: the store, the ledger, ticks of the controller, a recall of every forecast, the
watchman, the console's overview, the gateway's route. CPU seconds are those of the process; a server's own are not in
them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path += [str(Path(__file__).resolve().parents[2] / "tests")]

from recloser.testing.lives import lived_project
from servers.postgresql_server import Cluster, binaries

HERE = Path(__file__).resolve().parent
ROWS = (
    ("project file read", "parse"),
    ("loads of a day stored", "store"),
    ("an issue written to the ledger", "issue"),
    ("ticks until the day is closed", "tick_closing"),
    ("a quiet tick", "tick"),
    ("every forecast recalled", "recall"),
    ("watchman, after a change", "watch"),
    ("watchman, nothing new", "watch_quiet"),
    ("overview, first", "overview"),
    ("overview, again", "overview_again"),
    ("one area's forecast", "one"),
    ("all areas' forecasts", "all"),
    ("route and limits in force", "swap"),
)


def measured(lived: Path, assets: int, url: str | None) -> dict[str, Any]:
    """Return what one process measured of one size."""
    with tempfile.TemporaryDirectory(prefix="recloser-sizing-") as scratch:
        folder = shutil.copytree(lived, Path(scratch) / "grid")
        words = [sys.executable, str(HERE / "world.py"), str(folder), str(assets), *([] if url is None else [url])]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found


def told(results: dict[str, dict[str, Any]]) -> list[str]:
    """Return the table as lines: seconds by part and size."""
    lines = ["| " + " | ".join(["", *results]) + " |", "|---" * (len(results) + 1) + "|"]
    for words, part in ROWS:
        cells = [f"{one['wall_s'][part]:.3g} s ({one['cpu_s'][part]:.3g})" for one in results.values()]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    for words, part, unit in (
        ("memory at most", "memory_mb", "MB"),
        ("route record, a quarter of the assets named", "route_kb", "kB"),
        ("ledger rows an issue", "rows", ""),
        ("ledger bytes a row", "row_bytes", "B"),
        ("store bytes of an asset's day", "store_bytes", "B"),
    ):
        cells = [f"{one[part]:.4g} {unit}".strip() if one[part] is not None else "-" for one in results.values()]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Measure all sizes on all ledgers and print a table each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=int, nargs="+", default=[10, 1000, 100_000])
    parser.add_argument("--ledger", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, dict[str, dict[str, Any]]] = {}
    with ExitStack() as stack:
        lived = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="recloser-lived-"))) / "grid"
        lived_project(lived, rival_after=4)
        cluster: Cluster | None = None
        programs = binaries()
        if "postgresql" in options.ledger and programs is not None:
            cluster = Cluster(programs)
            cluster.start()
            stack.callback(cluster.stop)
        for ledger in options.ledger:
            if ledger == "postgresql" and cluster is None:
                print("postgresql: skipped, no server is installed", file=sys.stderr)
                continue
            for assets in options.assets:
                url = cluster.new_place() if ledger == "postgresql" and cluster is not None else None
                found.setdefault(ledger, {})[f"{assets:,}"] = measured(lived, assets, url)
                print(f"{ledger} {assets:,}: {json.dumps(found[ledger][f'{assets:,}'])}", file=sys.stderr)
    for ledger, results in found.items():
        print(f"\n{ledger}: wall seconds (CPU seconds)\n")
        print("\n".join(told(results)))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
