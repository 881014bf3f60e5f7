"""Replays of real history, policies side by side: `python benchmarks/replay/run.py --set victoria --out DIR`.

Makes a project, takes the file in and replays it, all by the command line as a user would; prints the commands, the
table and what the signals said. `--set eia`, `--areas NYIS PJM`, `--from`, `--to`, `--policy ...`; `--data DIR` for the
real data sets; `--set simulated --feeders 24 --minutes 60` needs none: three made-up years, to measure the time a
replay takes. History of one's own: `--file FILE --ingest "..." --init "..."`, with the words of `recloser ingest` and
`recloser init`. An interrupted replay goes on when the same command is given again.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from recloser.cli import main as recloser
from recloser.core import LOAD, TEMPERATURE
from recloser.simulation import GridPlan, SimulatedGrid

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
EIA_AREAS = ("PJM", "MISO", "NYIS", "TVA", "BPAT")
FOLDER_REGISTRY = '\n[registry]\nkind = "folder"\n'


@dataclass(frozen=True, slots=True)
class Set:
    """A history: its file, the words of `init` and of `ingest`, and the window that is replayed."""

    file: Path
    init: tuple[str, ...]
    ingest: tuple[str, ...]
    window: tuple[str, str]


def victoria(data: Path, _asked: argparse.Namespace) -> Set:
    where = "--area VIC --time-zone Australia/Melbourne --country AU --subdivision VIC --resolution-minutes 30"
    columns = "--area =VIC --time utc --load demand_mwh_per_30min --temperature temperature_c"
    file = data / "vic_elec_2012_2014.parquet"
    return Set(file, tuple(shlex.split(where)), tuple(shlex.split(columns)), ("2013-01-01", "2015-01-01"))


def eia(data: Path, asked: argparse.Namespace) -> Set:
    words = "--area ba --time utc_hour_ending --load demand_mw --stamp end --incumbent forecast_da_mw"
    return Set(
        data / "eia930_load_dayahead_5areas_2015_2018.parquet",
        (*(word for area in asked.areas or EIA_AREAS for word in ("--area", area)), *_us()),
        (*shlex.split(words), "--quality", "category", "--good-quality", "OKAY"),
        ("2017-01-01", "2018-12-01"),
    )


def _us() -> tuple[str, ...]:
    return ("--time-zone", "America/New_York", "--country", "US")


def simulated(_data: Path, asked: argparse.Namespace) -> Set:
    """Write three years of simulated feeders beside the project, once, and replay the last two."""
    plan = GridPlan(
        seed=3,
        feeders=asked.feeders,
        substations=0,
        start=datetime(2017, 1, 1, tzinfo=UTC),
        days=1095,
        resolution=timedelta(minutes=asked.minutes),
    )
    grid = SimulatedGrid(plan)
    file = asked.out / f"simulated-{asked.feeders}-{asked.minutes}.parquet"
    if not file.exists():
        asked.out.mkdir(parents=True, exist_ok=True)
        frame = grid.frame()
        load, warmth = (
            frame.filter(pl.col("quantity") == name).select("area", "at", pl.col("value").alias(name))
            for name in (LOAD, TEMPERATURE)
        )
        # What was measured, once a sample: a user's file holds no revisions of the weather forecast either.
        warmth = warmth.unique(["area", "at"], keep="last")
        load.join(warmth, on=["area", "at"], how="left").sort("area", "at").write_parquet(file)
    where = f"--time-zone {plan.zone} --country NL --resolution-minutes {asked.minutes}"
    areas = (word for area in grid.areas for word in ("--area", area))
    columns = f"--area area --time at --load {LOAD} --temperature {TEMPERATURE}"
    return Set(file, (*areas, *shlex.split(where)), tuple(shlex.split(columns)), ("2018-01-01", "2020-01-01"))


SETS = {"victoria": victoria, "eia": eia, "simulated": simulated}


def main() -> None:
    """Replay and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--set", choices=SETS, default="victoria", dest="name")
    parser.add_argument("--areas", nargs="+", default=[], help="areas of the US set; default: all five")
    parser.add_argument("--feeders", type=int, default=24, help="of the simulated set")
    parser.add_argument("--minutes", type=int, default=60, help="resolution of the simulated set")
    parser.add_argument("--file", type=Path, help="history of one's own instead of a set")
    parser.add_argument("--init", default="", help="words of 'recloser init' for --file")
    parser.add_argument("--ingest", default="", help="words of 'recloser ingest' for --file")
    parser.add_argument("--from", dest="start", help="first day; default: the set's")
    parser.add_argument("--to", dest="end", help="end, excluded; default: the set's")
    parser.add_argument("--policy", nargs="+", default=["never", "weekly", "monthly", "recloser"])
    parser.add_argument("--settings", type=Path, help="TOML tables to add to the project file")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=Path("replay-benchmark"))
    asked = parser.parse_args()
    if asked.file is not None:
        window = (asked.start or "", asked.end or "")
        history = Set(asked.file, tuple(shlex.split(asked.init)), tuple(shlex.split(asked.ingest)), window)
    else:
        history = SETS[asked.name](asked.data, asked)
    if not history.file.exists():
        print(f"skipped: {history.file.name} is not there")
        return
    report = replayed(history, asked)
    print(told(report))


def replayed(history: Set, asked: argparse.Namespace) -> dict[str, Any]:
    """Make the project if it is not there, replay it, and return the report."""
    project, out = asked.out / "project", asked.out / "replay"
    if not (project / "state" / "ingested").exists():
        _run(["init", str(project), *history.init])
        settings = project / "recloser.toml"
        more = FOLDER_REGISTRY if asked.settings is None else asked.settings.read_text(encoding="utf-8")
        settings.write_text(settings.read_text(encoding="utf-8") + more, encoding="utf-8")
        _run(["ingest", str(history.file), *history.ingest, "--project", str(project)])
        (project / "state" / "ingested").touch()
    window = ["--from", asked.start or history.window[0], "--to", asked.end or history.window[1]]
    policies = [word for policy in asked.policy for word in ("--policy", policy)]
    _run(["replay", *window, *policies, "--out", str(out), "--project", str(project)])
    found: dict[str, Any] = json.loads((out / "report.json").read_text(encoding="utf-8"))
    found["costs"] = json.loads((out / "costs.json").read_text(encoding="utf-8"))["policies"]
    return found


def _run(words: list[str]) -> None:
    print("$ recloser", shlex.join(words), flush=True)
    code = recloser(words)
    if code:
        sys.exit(code)


def told(report: dict[str, Any]) -> str:
    """Return the table of the policies in Markdown, then the signals by class of the last one."""
    head = ("policy", "MAPE %", "rCRPS", "80 % coverage", "runs", "refused", "promoted", "trips", "signals", "notices")
    lines = [f"\n| {' | '.join(head)} | people | CPU s |", "|" + "---|" * (len(head) + 2)]
    for name, policy in report["policies"].items():
        total, counts = policy["total"], policy["counts"]
        cells = [name, *_scores(total)]
        names = ("runs", "refusals", "promotions", "trips")
        cells += [str(counts[key]) for key in names]
        cells += [str(counts["drift_signals"] + counts["data_faults"]), str(counts["notices"])]
        cells += [str(counts["human_actions"]), f"{report['costs'][name]['cpu_s']:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    for name, title in (("naive", "weekly naive"), ("incumbent", "operator's own")):
        if name in report:
            lines.append(f"| {' | '.join([title, *_scores(report[name]['total'])])} |" + " |" * 8)
    last = list(report["policies"])[-1]
    signals = report["policies"][last]["signals"]
    counted = Counter((signal["class"], signal["kind"]) for signal in signals)
    lines.append(
        f"\nSignals of '{last}': " + ", ".join(f"{n} {k[0]} ({k[1]})" for k, n in sorted(counted.items())) + "."
    )
    lines += [f"- {signal['at'][:10]} {signal['class']}: {signal['reason']}" for signal in signals]
    watched = report.get("incumbent", {})
    if watched.get("signals"):
        lines.append(f"\nSaid of the {watched['name']}:")
    for signal in watched.get("signals", ()):
        over = "" if signal["closed_at"] is None else f" to {signal['closed_at'][:10]}"
        lines.append(f"- {signal['at'][:10]}{over} {signal['class']} ({signal['kind']}): {signal['reason']}")
    return "\n".join(lines)


def _scores(total: dict[str, Any]) -> list[str]:
    digits = {"mape": 2, "rcrps": 4, "coverage80": 1}
    return ["-" if total[key] is None else f"{total[key]:.{n}f}" for key, n in digits.items()]


if __name__ == "__main__":
    main()
