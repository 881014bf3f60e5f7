"""The gate on real load: good candidates pass, each known bad case is refused for its own reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recloser.app import Platform, ingest_file, scaffold
from recloser.core import LOAD, FloatArray, Panel, Quality, Refused, VirtualClock, format_utc
from recloser.engines import LocalEngine, RetryPolicy, RunOutcome
from recloser.ledger import VerdictRecord
from recloser.pipelines import Workbench, candidate_pipeline
from recloser.pipelines.judging import Evidence, judged
from recloser.registry import open_package
from recloser.staging import Verdict
from recloser.store import Snapshot
from recloser.testing import QUICK

pytestmark = pytest.mark.real

DATA = Path(__file__).parents[2].parent / "shared" / "data"
VICTORIA = DATA / "vic_elec_2012_2014.parquet"
EIA = DATA / "eia930_load_dayahead_5areas_2015_2018.parquet"
SETTINGS = QUICK.replace("trees = 20", "trees = 60").replace("leaves = 7", "leaves = 15").replace("5000", "12000")
HEAT = pl.selectors.starts_with("temperature_c") - pl.selectors.contains("change")
Predict = Callable[[pl.DataFrame], FloatArray]


@dataclass
class Judged:
    """A project with one honest run, and everything its verdict rests on."""

    platform: Platform
    outcome: RunOutcome
    evidence: Evidence
    bench: Workbench

    def verdict(self, **changes: Any) -> Verdict:
        """Judge again with parts of the evidence replaced."""
        return judged(self.bench, replace(self.evidence, **changes))

    def answered(self, spoil: Callable[[pl.DataFrame, FloatArray], FloatArray]) -> Verdict:
        """Judge a candidate whose answers are the honest ones, spoilt."""
        honest = self.bench.load(self.evidence.package.model_folder)
        bench = replace(self.bench, load=lambda _folder: Spoilt(honest.predict, spoil))
        answers = dict(self.evidence.evaluation.answers)
        answers["candidate"] = spoil(self.evidence.holdout, answers["candidate"].copy())
        return judged(bench, replace(self.evidence, evaluation=replace(self.evidence.evaluation, answers=answers)))

    def learned(self, spoil: Callable[[pl.DataFrame], pl.DataFrame]) -> Verdict:
        """Judge a candidate that learned from spoilt rows."""
        return self.verdict(training=spoil(self.evidence.training))

    def stored(self, spoil: Callable[[pl.DataFrame], pl.DataFrame]) -> Verdict:
        """Judge on a store whose samples are spoilt."""
        panel = self.evidence.panel
        return self.verdict(panel=Panel(spoil(panel.frame), panel.resolution, panel.as_of))


@dataclass(frozen=True)
class Spoilt:
    """A model whose answers are spoilt."""

    honest: Predict
    spoil: Callable[[pl.DataFrame, FloatArray], FloatArray]

    def predict(self, rows: pl.DataFrame) -> FloatArray:
        return self.spoil(rows, self.honest(rows))


def made(folder: Path, source: Path, init: tuple[list[str], str], ingest: dict[str, Any], now: datetime) -> Judged:
    if not source.is_file():
        pytest.skip(f"the real data is not beside the project: {source}")
    scaffold(folder, areas=init[0], time_zone=init[1])
    file = folder / "recloser.toml"
    text = file.read_text(encoding="utf-8").replace("holdout_days = 56", 'holdout_days = 112\nprocess = "own"')
    file.write_text(text + SETTINGS, encoding="utf-8")
    ingest_file(folder, source, ingest)
    platform = Platform.open(folder, clock=VirtualClock(now))
    bench = platform.workbench()
    engine = LocalEngine(platform.ledger, platform.clock, RetryPolicy(), lambda _s: None)
    parameters = {"as_of": format_utc(now), "run": "run-1", "trigger": "api"}
    outcome = engine.run(candidate_pipeline(), bench, "run-1", "api", "a test", parameters)
    assert outcome.candidate is not None
    opened = open_package(platform.layout.packages / outcome.candidate, platform.trusted)
    snapshot = Snapshot.from_dict(outcome.results["take_snapshot"]["snapshot"])
    panel = platform.store.open_snapshot(snapshot)
    evidence = Evidence.read(platform.layout.runs / "run-1", opened, panel, snapshot.digest)
    return Judged(platform, outcome, evidence, bench)


@pytest.fixture(scope="module")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judged]:
    mapping = {"area": "=VIC", "time": "utc", "load": "demand_mwh_per_30min", "temperature": "temperature_c"}
    folder = tmp_path_factory.mktemp("gate") / "vic"
    now = datetime(2014, 9, 1, tzinfo=UTC)
    found = made(folder, VICTORIA, (["VIC"], "Australia/Melbourne"), mapping, now)
    yield found
    found.platform.close()


@pytest.fixture(scope="module")
def eia(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judged]:
    mapping = {"area": "ba", "time": "utc_hour_ending", "load": "demand_mw", "stamp": "end"}
    mapping |= {"quality": "category", "good_quality": ("OKAY",), "incumbent": "forecast_da_mw"}
    folder = tmp_path_factory.mktemp("gate") / "eia"
    now = datetime(2017, 6, 1, tzinfo=UTC)
    found = made(folder, EIA, (["NYIS", "TVA"], "America/New_York"), mapping, now)
    yield found
    found.platform.close()


def test_good_candidates_pass_on_victoria_and_on_two_us_areas(victoria: Judged, eia: Judged) -> None:
    for found in (victoria, eia):
        assert found.outcome.verdict == "pass", found.outcome.results["judge"]["reason"]
        checks = {check["name"]: check for check in found.outcome.results["judge"]["checks"]}
        assert set(found.outcome.results["judge"]["checks"][0]) >= {"name", "verdict", "reason", "numbers"}
        assert all(check["duration_ms"] is not None and check["evidence"] for check in checks.values())
        assert checks["leak"]["numbers"]["rows"] > 100
        assert {"clocks forward", "clocks back", "leap day"} == {
            label.rsplit(" ", 1)[0] for label in checks["safety.days"]["numbers"]["intervals"]
        }
        assert checks["trial.process"]["numbers"]["mode"] == "this process"


def test_the_same_evidence_gives_the_same_verdict_byte_for_byte(victoria: Judged) -> None:
    again = victoria.verdict()
    record = victoria.platform.ledger.get(VerdictRecord, f"verdict-{victoria.outcome.candidate}")
    assert record is not None
    assert again.evidence_digest == record.evidence_digest
    assert again.to_bytes() == victoria.verdict().to_bytes()


def newest(days: int, load: pl.Expr) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Spoil the load of the newest days of the training window."""
    part = pl.col("at") > pl.col("at").max() - timedelta(days=days)
    return lambda rows: rows.with_columns(pl.when(part).then(load).otherwise(pl.col(LOAD)).alias(LOAD))


def moved(steps: int) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda rows: rows.sort("area", "at").with_columns(pl.col(LOAD).shift(steps).over("area"))


def with_load(load: pl.Expr) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda rows: rows.with_columns(load.alias(LOAD))


LEARNED: dict[str, tuple[Callable[[pl.DataFrame], pl.DataFrame], str, str]] = {
    "the target is missing": (lambda rows: rows.drop(LOAD), "data.shape", "target"),
    "the target is empty": (with_load(pl.lit(None, dtype=pl.Float64)), "data.shape", "target"),
    "kW read as MW": (newest(60, pl.col(LOAD) * 1000), "data.units", "1000"),
    "all of it kW": (with_load(pl.col(LOAD) * 1000), "data.units", "1000"),
    "stuck load": (newest(90, pl.col(LOAD).max()), "data.stuck", "stuck"),
    "scrambled": (with_load(pl.col(LOAD).shuffle(seed=3).over("area")), "data.order", "scrambled"),
    "degF": (lambda rows: rows.with_columns(HEAT * 1.8 + 32), "data.temperature", "degF"),
    "K": (lambda rows: rows.with_columns(HEAT + 273.15), "data.temperature", "looks like K"),
    "dead weather": (
        lambda rows: rows.with_columns(pl.lit(None, dtype=pl.Float32).alias("temperature_c")),
        "data.completeness",
        "temperature_c",
    ),
    "rows twice": (lambda rows: pl.concat([rows, rows.tail(500)]), "data.duplicates", "duplicate"),
    "spikes": (
        newest(300, pl.col(LOAD) * pl.when(pl.int_range(pl.len()) % 9 == 0).then(2.6).otherwise(1.0)),
        "data.jumps",
        "jumps",
    ),
    "a feature that is the target": (
        lambda rows: rows.with_columns(pl.col(LOAD).cast(pl.Float32).alias("temperature_c")),
        "leak",
        "is the target itself",
    ),
    "a feature of the hour after": (
        lambda rows: rows.with_columns(pl.col("temperature_c_mean_24h").shift(-2).over("area", "issued_at")),
        "leak",
        "temperature_c_mean_24h differs",
    ),
}


@pytest.mark.parametrize("case", LEARNED)
def test_a_candidate_of_bad_training_rows_is_refused_by_name(victoria: Judged, case: str) -> None:
    spoil, check, word = LEARNED[case]
    verdict = victoria.learned(spoil)
    refused = {c.name: c.reason for c in verdict.checks if c.verdict == "refuse"}
    assert verdict.verdict == "refuse"
    assert check in refused, refused
    assert word in refused[check]


def local_as_utc(frame: pl.DataFrame) -> pl.DataFrame:
    """Give every sample its local wall time for a time in UTC, as a file without offsets that is read so."""
    local = pl.col("at").dt.convert_time_zone("Australia/Melbourne").dt.replace_time_zone(None)
    moved = frame.with_columns(local.dt.replace_time_zone("UTC").alias("at"))
    return moved.unique(["area", "quantity", "at"], keep="first", maintain_order=True)


def frozen_weather(frame: pl.DataFrame) -> pl.DataFrame:
    part = (pl.col("quantity") == "temperature_c") & (pl.col("at") > pl.col("at").max() - timedelta(days=90))
    return frame.with_columns(pl.when(part).then(11.0).otherwise(pl.col("value")).alias("value"))


def flagged(frame: pl.DataFrame) -> pl.DataFrame:
    """Flag twenty days of load as stuck, of which the training rows know nothing."""
    part = (pl.col("quantity") == LOAD) & pl.col("at").is_between(
        datetime(2014, 3, 1, tzinfo=UTC), datetime(2014, 3, 21, tzinfo=UTC)
    )
    quality = pl.when(part).then(int(Quality.STUCK)).otherwise(pl.col("quality")).cast(pl.Int32)
    return frame.with_columns(quality.alias("quality"))


STORED: dict[str, tuple[Callable[[pl.DataFrame], pl.DataFrame], str, str]] = {
    "local time read as UTC": (local_as_utc, "data.contract", "local time read as UTC"),
    "frozen weather": (frozen_weather, "data.contract", "stuck: temperature_c"),
    "weather in degF": (
        lambda f: f.with_columns(
            pl.when(pl.col("quantity") == "temperature_c")
            .then(pl.col("value") * 1.8 + 32)
            .otherwise(pl.col("value"))
            .alias("value")
        ),
        "data.contract",
        "lies outside",
    ),
    "no weather at all": (lambda f: f.filter(pl.col("quantity") != "temperature_c"), "leak", "temperature_c"),
    "a known data fault": (flagged, "data.faults", "known data fault"),
}


@pytest.mark.parametrize("case", STORED)
def test_a_candidate_of_a_bad_store_is_refused_by_name(victoria: Judged, case: str) -> None:
    spoil, check, word = STORED[case]
    verdict = victoria.stored(spoil)
    refused = {c.name: c.reason for c in verdict.checks if c.verdict == "refuse"}
    assert check in refused, refused
    assert word in refused[check]


def only(rows: pl.DataFrame, part: pl.Expr, answers: FloatArray, other: FloatArray) -> FloatArray:
    return np.where(rows.select(part).to_series().to_numpy()[:, None], other, answers)


def shifted(rows: pl.DataFrame, answers: FloatArray) -> FloatArray:
    return np.roll(answers, 6, axis=0) if rows.height > 12 else answers


LOCAL = pl.col("at").dt.convert_time_zone("Australia/Melbourne")
ANSWERED: dict[str, tuple[Callable[[pl.DataFrame, FloatArray], FloatArray], str, str]] = {
    "empty": (lambda _rows, a: a[:0], "performance.output", "empty"),
    "NaN": (lambda r, a: only(r, LOCAL.dt.hour() == 3, a, a * np.nan), "performance.output", "not finite"),
    "Inf": (lambda r, a: only(r, LOCAL.dt.hour() == 3, a, a * np.inf), "performance.output", "not finite"),
    "x1000": (lambda _r, a: a * 1000, "safety.answers", "beyond limits"),
    "sign flip": (lambda _r, a: -a[:, ::-1], "performance.naive", "worse than the seasonal naive"),
    "frozen": (lambda _r, a: np.full_like(a, a[:1]), "performance.naive", "worse than the seasonal naive"),
    "shifted by three hours": (shifted, "performance.naive", "worse than the seasonal naive"),
    "crossing quantiles": (lambda _r, a: a[:, ::-1], "safety.answers", "crossing"),
    "a band too narrow": (lambda _r, a: a[:, 1:2] + (a - a[:, 1:2]) * 0.1, "coverage", "too few"),
    "a sawtooth": (
        lambda r, a: a * np.where(r["at"].dt.minute().to_numpy() == 0, 2.9, 1.0)[:, None],
        "safety.ramp",
        "steepest",
    ),
    "wrong at the daily peak": (
        lambda r, a: only(r, LOCAL.dt.hour().is_between(16, 20), a, a * 0.8),
        "performance.slices",
        "too bad",
    ),
    "runs away in a heat wave": (
        lambda r, a: only(r, pl.col("temperature_c").fill_null(0) > 42, a, a * 4),
        "safety.weather",
        "extreme weather",
    ),
    "lost on the day of 25 hours": (
        lambda r, a: only(r, LOCAL.dt.date() == pl.date(2014, 4, 6), a, a * np.nan),
        "safety.days",
        "clocks back",
    ),
    "bad since a week": (
        lambda r, a: only(r, pl.col("at") > datetime(2014, 8, 20, tzinfo=UTC), a, a * 1.2),
        "performance.recent",
        "worse",
    ),
}


@pytest.mark.parametrize("case", ANSWERED)
def test_a_candidate_of_bad_answers_is_refused_by_name(victoria: Judged, case: str) -> None:
    spoil, check, word = ANSWERED[case]
    verdict = victoria.answered(spoil)
    refused = {c.name: c.reason for c in verdict.checks if c.verdict == "refuse"}
    assert check in refused, refused
    assert word in refused[check]


def test_a_slow_candidate_is_refused(victoria: Judged) -> None:
    ticks = iter(range(10**9))
    (victoria.evidence.folder / "measured.json").unlink()
    slow = judged(replace(victoria.bench, timer=lambda: next(ticks) * 10.0), victoria.evidence)
    (victoria.evidence.folder / "measured.json").unlink()
    assert {c.name for c in slow.checks if c.verdict == "refuse"} == {"latency"}


def test_a_changed_byte_of_the_package_is_refused_before_anything_is_judged(victoria: Judged) -> None:
    package = victoria.evidence.package
    file = package.path / "model" / "centre.txt"
    kept = file.read_bytes()
    file.write_bytes(kept.replace(b"tree", b"treE", 1))
    try:
        with pytest.raises(Refused):
            open_package(package.path, victoria.platform.trusted)
    finally:
        file.write_bytes(kept)


def test_the_operators_own_forecast_is_compared_and_is_a_must_by_policy(eia: Judged) -> None:
    assert "performance.incumbent" in {check.name for check in eia.verdict().checks}
    policy = replace(eia.bench.policy, incumbent_required=True, incumbent_margin=-0.5)
    must = judged(replace(eia.bench, policy=policy), eia.evidence)
    assert {c.name for c in must.checks if c.verdict == "refuse"} == {"performance.incumbent"}


def test_a_missing_metric_is_refused(eia: Judged) -> None:
    package = eia.evidence.package
    metrics = {name: number for name, number in package.facts.metrics.items() if name != "rcrps"}
    verdict = eia.verdict(package=replace(package, facts=replace(package.facts, metrics=metrics)))
    refused = {c.name: c.reason for c in verdict.checks if c.verdict == "refuse"}
    assert refused == {"metrics": "missing metric: rcrps"}
