"""Measures the store: ingest, window reads, compaction, disk; beside a plain parquet folder in the same run.

`python benchmarks/store/run.py [--scale 0.1] [--days 365] [--folder DIR] [--json]`. Scale 1 = 1,000 points every 5
minutes for a year (105 million rows). The peer is the limit: one sorted parquet file per day, written and scanned by
polars, without versions, duplicate check or as-of order. Ratios travel between machines, seconds do not.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from recloser.core import SAMPLE_SCHEMA
from recloser.store import Snapshot, Store

STEP = timedelta(minutes=5)
START = datetime(2020, 1, 1, tzinfo=UTC)
LATER = datetime(2030, 1, 1, tzinfo=UTC)
PER_DAY = 288


def day_frame(day: int, points: int) -> pl.DataFrame:
    """One day of all points in SAMPLE_SCHEMA: a daily shape with noise of four digits, time-major as SCADA sends it."""
    rng = np.random.default_rng(day)
    clock = np.arange(PER_DAY) / PER_DAY * 2 * np.pi
    level = 2.0 + np.arange(points) % 17
    values = level * (1.0 - 0.2 * np.cos(clock))[:, None] + rng.normal(0.0, 0.1, (PER_DAY, points))
    at = pl.datetime_range(
        START + timedelta(days=day),
        START + timedelta(days=day + 1),
        STEP,
        closed="left",
        eager=True,
    ).alias("at")
    areas = pl.DataFrame({"area": [f"feeder-{i:04d}" for i in range(points)]})
    frame = at.to_frame().join(areas, how="cross", maintain_order="left_right")
    return frame.with_columns(
        pl.lit("load_mw").alias("quantity"),
        (pl.col("at") + STEP).alias("available_at"),
        pl.Series("value", np.round(values, 4).ravel()),
        pl.lit(0, pl.Int32).alias("quality"),
        pl.lit("scada").alias("source"),
    ).select(*SAMPLE_SCHEMA)


def disk_mb(folder: Path) -> float:
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6


class Meter:
    """Collects wall and CPU seconds by name."""

    def __init__(self) -> None:
        self.numbers: dict[str, float] = {}

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Add the time of the block to `name`."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.numbers[f"{name}_s"] = self.numbers.get(f"{name}_s", 0.0) + time.perf_counter() - wall
        self.numbers[f"{name}_cpu_s"] = self.numbers.get(f"{name}_cpu_s", 0.0) + time.process_time() - cpu

    def best(self, name: str, action: Callable[[], int], repeats: int = 3) -> int:
        """Record the best of some repeats, which is the least noisy on a shared machine."""
        seconds = []
        for _ in range(repeats):
            begin = time.perf_counter()
            rows = action()
            seconds.append(time.perf_counter() - begin)
        self.numbers[f"{name}_s"] = min(seconds)
        return rows


def measure(folder: Path, scale: float, days: int) -> dict[str, float]:
    points = max(1, round(1000 * scale))
    meter = Meter()
    store, plain = Store.open(folder / "store", STEP), folder / "plain"
    plain.mkdir(parents=True)
    for day in range(days):
        frame = day_frame(day, points)
        with meter.of("ingest"):
            store.append(frame, "scada", day)
        with meter.of("ingest_plain"):
            frame.sort("area", "quantity", "at").write_parquet(plain / f"{day:04d}.parquet")
    rows = points * PER_DAY * days
    numbers = meter.numbers
    numbers |= {"points": points, "days": days, "rows": rows, "ingest_rows_per_s": rows / numbers["ingest_s"]}
    numbers |= {"disk_mb": disk_mb(folder / "store"), "disk_plain_mb": disk_mb(plain)}
    end = START + timedelta(days=days)
    window = (max(START, end - timedelta(days=90)), end)
    fifty = [f"feeder-{i:04d}" for i in range(0, points, max(1, points // 50))][:50]
    _reads(meter, store, plain, window, {"1_point": fifty[:1], "50_points": fifty}, "")
    with meter.of("late_day"):
        late = day_frame(days // 2, points).with_columns(pl.col("value") + 1.0, pl.col("available_at") + STEP * 999)
        store.append(late, "late")
    with meter.of("repeated_day"):
        store.append(late, "late")
    taken: list[Snapshot] = []
    with meter.of("snapshot_50_points"):
        taken.append(store.snapshot(fifty, ["load_mw"], *window, LATER))
    with meter.of("compaction_and_vacuum"):
        result = store.maintain([taken[0].version], LATER)
    numbers["partitions_compacted"] = result.compacted
    _reads(meter, store, plain, window, {"1_point": fifty[:1], "50_points": fifty}, "_compacted")
    if store.snapshot(fifty, ["load_mw"], *window, LATER).digest != taken[0].digest:
        sys.exit("compaction changed the content")
    numbers["files_compacted"] = result.files_after
    latest = store.version()
    alive = pl.DataFrame(store._table.files(latest))  # noqa: SLF001 - a benchmark may look inside
    numbers["disk_compacted_mb"] = float(alive["bytes"].sum()) / 1e6
    numbers["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return numbers


def _reads(
    meter: Meter,
    store: Store,
    plain: Path,
    window: tuple[datetime, datetime],
    groups: dict[str, list[str]],
    suffix: str,
) -> None:
    start, end = window

    def read(areas: list[str]) -> int:
        return store.read(areas, ["load_mw"], start, end, as_of=LATER).frame.height

    def scan(chosen: pl.Expr) -> int:
        return pl.scan_parquet(plain / "*.parquet").filter(chosen).collect().height

    for name, areas in groups.items():
        got = meter.best(f"read_{name}{suffix}", partial(read, areas))
        chosen = pl.col("area").is_in(areas) & (pl.col("at") >= start) & (pl.col("at") < end)
        limit = meter.best(f"read_{name}{suffix}_plain", partial(scan, chosen))
        if not suffix and got != limit:
            sys.exit(f"the store gives {got} rows, the plain folder {limit}")


def report(n: dict[str, float]) -> None:
    print(f"{n['rows']:,.0f} rows: {n['points']:.0f} points, {n['days']:.0f} daily appends\n")
    print(f"{'':38}{'store':>10}{'plain':>10}{'ratio':>8}")

    def line(name: str, ours: float, limit: float, form: str = "10.2f") -> None:
        print(f"{name:38}{ours:{form}}{limit:{form}}{ours / limit:8.1f}")

    line("ingest, s", n["ingest_s"], n["ingest_plain_s"])
    line("ingest, CPU s", n["ingest_cpu_s"], n["ingest_plain_cpu_s"])
    for text, key in {
        "90 days of 1 point, s": "read_1_point",
        "90 days of 50 points, s": "read_50_points",
        "the same compacted, 1 point": "read_1_point_compacted",
        "the same compacted, 50 points": "read_50_points_compacted",
    }.items():
        line(text, n[f"{key}_s"], n[f"{key}_plain_s"], "10.3f")
    line("disk before compaction, MB", n["disk_mb"], n["disk_plain_mb"], "10.0f")
    line("disk of the latest version, compacted", n["disk_compacted_mb"], n["disk_plain_mb"], "10.0f")
    print(f"\ningest {n['ingest_rows_per_s'] / 1e6:.2f} M rows/s; one late day {n['late_day_s']:.2f} s, repeated")
    print(f"{n['repeated_day_s']:.2f} s; snapshot of 50 points x 90 days {n['snapshot_50_points_s']:.2f} s; compaction")
    wall, cpu = n["compaction_and_vacuum_s"], n["compaction_and_vacuum_cpu_s"]
    print(f"and vacuum {wall:.1f} s ({cpu:.1f} CPU s) for {n['partitions_compacted']:.0f} months;", end=" ")
    print(f"peak memory {n['peak_memory_mb']:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", type=float, default=0.1, help="1.0 = 1,000 points (default 0.1)")
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder, removed at the end)")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the folder is removed
    folder = Path(tempfile.mkdtemp(prefix="recloser-bench-", dir=chosen.folder))
    try:
        numbers = measure(folder, chosen.scale, chosen.days)
    finally:
        shutil.rmtree(folder)
    if chosen.json:
        print(json.dumps({key: round(number, 4) for key, number in numbers.items()}, indent=1))
    else:
        report(numbers)


if __name__ == "__main__":
    main()
