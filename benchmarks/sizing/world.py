"""One size of the sizing benchmark, in a process of its own: `world.py FOLDER ASSETS [LEDGER_URL]`; prints JSON."""

from __future__ import annotations

import gc
import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recloser.app import OverviewAsk, Platform, overview
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.loop.router import route_of
from recloser.app.predictions.forecasts import LedgerForecasts
from recloser.app.processes.garbage import look_rarely_for_garbage
from recloser.app.project.settings import load_project
from recloser.app.verbs import rollback_in
from recloser.app.views.sight import Sight
from recloser.app.watchman.exporter import Board
from recloser.app.watchman.watching import Watchman
from recloser.core import LOAD, QUANTILES, SAMPLE_SCHEMA, Served, VirtualClock, canonical_json, forecast_id
from recloser.ledger import ForecastRecord, Ledger, RouteRecord
from recloser.rollout import record_of
from recloser.serving import AssetLimits, Gateway, GuardPolicy, Route

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


class Stopwatch:
    """Wall and CPU seconds by part."""

    def __init__(self) -> None:
        self.wall_s: dict[str, float] = {}
        self.cpu_s: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall_s[name] = time.perf_counter() - wall
        self.cpu_s[name] = time.process_time() - cpu
        print(f"{name}: {self.wall_s[name]:.3g} s ({self.cpu_s[name]:.3g})", file=sys.stderr, flush=True)


def grown(folder: Path, assets: int) -> tuple[str, ...]:
    """Give the project so many areas: those that it has and further ones."""
    file = folder / "recloser.toml"
    text = file.read_text(encoding="utf-8")
    areas = ["F01", "F02", *(f"A{number:06d}" for number in range(max(0, assets - 2)))]
    file.write_text(re.sub(r"^areas = .*$", f"areas = {json.dumps(areas)}", text, flags=re.MULTILINE), encoding="utf-8")
    return tuple(areas)


def loads(areas: tuple[str, ...], first: datetime, hours: int) -> pl.DataFrame:
    """Return hourly loads of all areas in SAMPLE_SCHEMA."""
    at = pl.Series("at", [first + k * HOUR for k in range(hours)], dtype=pl.Datetime("us", "UTC"))
    shape = 1.0 + 0.2 * np.sin(2 * np.pi * np.arange(hours) / 24)
    times = pl.DataFrame({"at": at, "value": shape})
    levels = pl.DataFrame({"area": list(areas), "level": 5.0 + np.arange(len(areas)) % 17})
    frame = levels.join(times, how="cross").with_columns(
        pl.lit(LOAD).alias("quantity"),
        (pl.col("value") * pl.col("level")).alias("value"),
        (pl.col("at") + HOUR).alias("available_at"),
        pl.lit("rtu").alias("source"),
        pl.lit(0).alias("quality"),
    )
    return frame.select(pl.col(name).cast(kind) for name, kind in SAMPLE_SCHEMA.items())


def forecasts(areas: tuple[str, ...], issued: datetime, route: RouteRecord, first: datetime) -> list[ForecastRecord]:
    """Return one issue of all areas as the loop records it: answers of champion, canary and a rung of the ladder."""
    targets = tuple(first + k * HOUR for k in range(24))
    names = [name for name in (route.champion, route.canary, "seasonal_naive") if name is not None]
    shape, served = 1.0 + 0.2 * np.sin(2 * np.pi * np.arange(24) / 24), route.canary or ""
    kinds = []
    for level in range(17):
        middle = (5.0 + level) * shape
        band = np.stack([middle - 0.4, middle, middle + 0.4], axis=1)
        answers = {name: band + 0.01 * k for k, name in enumerate(names)}
        about = (targets, QUANTILES, served, "canary", "", answers)
        kinds.append(record_of(Served("", "", issued, issued, *about)))
    return [
        replace(kinds[number % 17], key=forecast_id(area, issued, issued, served), area=area)
        for number, area in enumerate(areas)
    ]


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(folder: Path, assets: int, url: str | None) -> dict[str, Any]:
    """Measure one size."""
    look_rarely_for_garbage()
    watch = Stopwatch()
    areas = grown(folder, assets)
    if url is not None:
        moved_to(folder, url)
    with watch.part("parse"):
        load_project(folder)
    with Platform.open(folder) as platform:
        route = platform.ledger.get(RouteRecord, "route")
        assert route is not None
        newest = platform.ledger.find(ForecastRecord, order_by="issued_at", descending=True, limit=1)[0]
        ControlLoop(platform, LoopOptions()).watch.close_days(newest.issued_at)  # what lies behind is closed
        first, now, more = newest.first_target, newest.first_target + DAY + timedelta(hours=10), areas[2:]
        clock = platform.clock = platform.wall = VirtualClock(now)
        before = size_of(platform.layout.store)
        with watch.part("store"):
            platform.store.append(loads(more, first, 24), source="sizing")
        store_bytes = (size_of(platform.layout.store) - before) / len(more)
        platform.store.append(loads(more, first + DAY, 10), source="sizing")
        issue = forecasts(more, newest.issued_at, route, first)
        with platform.ledger.change("sizing", now) as change:
            change.add_all(issue)
            change.note("forecast.issue", "first")
        issue = forecasts(areas, first + timedelta(hours=9), route, first + DAY)
        bytes_before = ledger_bytes(platform, url)
        with watch.part("issue"), platform.ledger.change("gateway", now) as change:
            change.add_all(issue)
            change.note("forecast.issue", "second")
        row_bytes = (ledger_bytes(platform, url) - bytes_before) / len(areas) if url is None else None
        del issue
        gc.collect()
        with platform.ledger.change("sizing", now) as change:  # the controller was not silent while the fleet grew
            change.put(replace(route, lease_until=now + DAY))
            change.note("sizing.lease", "route")
        loop = ControlLoop(platform, LoopOptions())
        with watch.part("tick_closing"):
            loop.watch.close_days(now)
            loop.advance()
        with watch.part("tick"):
            loop.controller.tick(loop.evidence)
        looked(watch, platform, areas, now)
        swapped(watch, platform, loop, areas)
        clock.advance_to(now + timedelta(minutes=1))
        with watch.part("recall"):
            recalled = rollback_in(loop, to=None, reason="sizing", actor="sizing")
        again = platform.ledger.get(RouteRecord, "route")
    named = replace(route, cohort=list(areas[: max(1, len(areas) // 4)]))
    return {
        "wall_s": watch.wall_s,
        "cpu_s": watch.cpu_s,
        "memory_mb": peak_mb(),
        "route_kb": len(canonical_json({"cohort": named.cohort})) / 1000.0,
        "rows": len(areas),
        "row_bytes": row_bytes,
        "store_bytes": store_bytes,
        "recalled": len(recalled["recalled"]),
        "served_after": None if again is None else again.champion,
    }


def looked(watch: Stopwatch, platform: Platform, areas: tuple[str, ...], now: datetime) -> None:
    """Measure what looks at all areas: the watchman, the console, the gateway's forecasts."""
    man = Watchman(platform, Board())
    man.look(now)
    with watch.part("watch"):
        man.look(now, changed=True)
    with watch.part("watch_quiet"):
        man.look(now, changed=False)
    sight = Sight(platform)
    with watch.part("overview"):
        overview(platform, sight, OverviewAsk())
    with watch.part("overview_again"):
        overview(platform, sight, OverviewAsk(page=2))
    source = LedgerForecasts(platform)
    with watch.part("one"):
        source.current(areas[-1])
    with watch.part("all"):
        source.many(areas)


def swapped(watch: Stopwatch, platform: Platform, loop: ControlLoop, areas: tuple[str, ...]) -> None:
    """Put a route that names a quarter of the areas into force, with limits of all of them."""
    route = platform.ledger.get(RouteRecord, "route")
    assert route is not None
    limits = {area: AssetLimits(-50.0, 100.0, 40.0, HOUR) for area in areas}
    named = replace(route, epoch=route.epoch + 1, cohort=list(areas[: max(1, len(areas) // 4)]))
    serving = loop.router.gateway
    predictors = {name: serving.predictor(name) for name in serving.loaded}
    gateway = Gateway(predictors, Route(0, None), {}, GuardPolicy())
    with watch.part("swap"):
        gateway.swap(route_of(named), predictors, limits=limits, policy=GuardPolicy())


def peak_mb() -> float:
    """Return the most memory that this program has held; what its parent held before is not in it."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(text.partition("VmHWM:")[2].split()[0]) / 1e3


def ledger_bytes(platform: Platform, url: str | None) -> int:
    if url is not None:
        return 0
    return sum(path.stat().st_size for path in platform.layout.state.glob("ledger.db*"))


def moved_to(folder: Path, url: str) -> None:
    """Move the project's ledger into another database, and let the project use that."""
    with Ledger.open(f"sqlite:///{(folder / 'state' / 'ledger.db').resolve()}") as old, Ledger.open(url) as new:
        old.copy_to(new)
    with (folder / "recloser.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n[ledger]\nurl = {json.dumps(url)}\n")


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)))
