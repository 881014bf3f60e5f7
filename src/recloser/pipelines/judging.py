"""Owns the gate as a pipeline step: gathers the evidence about a package and lets staging judge it. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from recloser.core import LOAD, QUANTILES, Panel, Quality, Unavailable, digest_bytes, digest_of, instant
from recloser.ledger import SignalRecord
from recloser.models import Model
from recloser.pipelines.evaluation import Evaluation
from recloser.pipelines.handed_out import handed_out
from recloser.pipelines.measured import measured_checks
from recloser.pipelines.proving import check_formats
from recloser.pipelines.special_days import special_days
from recloser.pipelines.workbench import Workbench
from recloser.registry import Package, check_golden
from recloser.serving import limits_from
from recloser.staging import (
    HOLD,
    PASS,
    AssetBounds,
    CheckResult,
    HoldOut,
    KnownFault,
    KnownFaults,
    LeakProbe,
    NetworkProbe,
    SafetyProbe,
    SeriesWindow,
    TrainingData,
    Verdict,
    check_coverage,
    check_data,
    check_leak,
    check_metrics,
    check_network,
    check_parity,
    check_performance,
    check_safety,
    check_worth,
    judge,
    temperature_columns,
    timed,
    waivers_in,
)

REQUIRED = (
    "formats",
    "data.shape",
    "leak",
    "metrics",
    "coverage",
    "parity",
    "latency",
    "trial",
    "safety",
    "performance",
)
UNASKED = frozenset({"schedule", "drift", "degradation", "data"})  # no person or program wanted this very run
RECENT = timedelta(days=28)
ASSETS_FROM = timedelta(days=400)
PROBE_DAYS = 7


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What the verdict on one package rests on.

    Attributes:
        package: opened and verified.
        panel: the run's snapshot.
        evaluation: everybody's answers on the hold-out.
        training: rows the candidate learned from, with truth.
        holdout: rows of the hold-out with all features.
        digests: name -> SHA-256 of the files and snapshots these come from.
        folder: the run's files; what is measured once is kept there.
        trigger: what started the run.
        late: area -> issue from which on it counts, of areas that begin later than the rest.
        left_out: area -> days it has to learn from, of areas with too few.
    """

    package: Package
    panel: Panel
    evaluation: Evaluation
    training: pl.DataFrame
    holdout: pl.DataFrame
    digests: dict[str, str]
    folder: Path
    trigger: str = ""
    late: Mapping[str, datetime] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path, package: Package, panel: Panel, snapshot: str) -> Evidence:
        """Read the files of a run's folder.

        Args:
            folder: holds training.parquet, holdout.parquet and evaluation.parquet.
            package: opened and verified.
            panel: the run's snapshot.
            snapshot: its digest.
        """
        names = ("training", "holdout", "evaluation")
        frames = {name: folder / f"{name}.parquet" for name in names}
        digests = {name: digest_bytes(path.read_bytes()) for name, path in frames.items()}
        digests |= {"package": package.digest, "snapshot": snapshot}
        training, holdout, evaluation = (pl.read_parquet(path) for path in frames.values())
        return cls(package, panel, Evaluation.from_frame(evaluation), training, holdout, digests, folder)

    def of(self, *names: str) -> dict[str, str]:
        """Return the digests of these names."""
        return {name: self.digests[name] for name in names}


def judged(bench: Workbench, evidence: Evidence) -> Verdict:
    """Return the gate's verdict on the package that would be deployed, waivers in force included."""
    entries = bench.ledger.entries(subject=evidence.package.release)
    waivers = waivers_in(entries, bench.clock.now())
    (formats,) = timed(bench.timer, evidence.of("package"), _format_checks(bench, evidence))
    if formats.verdict != PASS:
        return judge([formats], REQUIRED, waivers)  # such a model is not even opened
    model = bench.load(evidence.package.model_folder)
    checks = [
        formats,
        *_data_checks(bench, evidence),
        *timed(bench.timer, evidence.of("training", "holdout", "snapshot"), _leak_checks(bench, evidence)),
        *_performance_checks(bench, evidence),
        *_safety_checks(bench, evidence, model),
        *timed(bench.timer, evidence.of("holdout", "evaluation"), _network_checks(bench, evidence)),
        *timed(bench.timer, evidence.of("package"), _process_checks(bench, evidence, model)),
    ]
    return judge(checks, REQUIRED, waivers)


def _format_checks(bench: Workbench, evidence: Evidence) -> Iterator[CheckResult]:
    yield check_formats(evidence.package, allow_pickle=bench.allow_pickle)


def _data_checks(bench: Workbench, evidence: Evidence) -> Sequence[CheckResult]:
    zone, panel = bench.features.horizon.zone, evidence.panel
    areas = evidence.training["area"].unique().to_list()
    wide = panel.wide()
    if LOAD not in wide.columns:
        wide = wide.with_columns(pl.lit(None, dtype=pl.Float64).alias(LOAD))
    now = panel.as_of
    whole = wide.filter(pl.col("at") >= instant(now - timedelta(days=bench.recipe.history_days)))
    recent = wide.filter(pl.col("at") >= instant(now - RECENT))
    mine = pl.col("area").is_in(areas)
    windows = (
        SeriesWindow("training snapshot", whole.filter(mine & (pl.col("at") < instant(now))), panel.resolution, zone),
        SeriesWindow("live", recent.filter(mine), panel.resolution, zone, live=True),
    )
    data = TrainingData(
        evidence.training,
        bench.features.names,
        zone,
        recent.select("area", "at", LOAD),
        whole.filter(~pl.col("area").is_in(list(evidence.left_out))).select("area", "at", LOAD),
        windows,
        faults=known_faults(bench, panel),
        late=evidence.late,
        left_out=evidence.left_out,
    )
    found = {**evidence.of("training", "snapshot"), "policy": digest_of(bench.policy.to_dict())}
    return check_data(data, bench.policy, bench.timer, found)


def known_faults(bench: Workbench, panel: Panel) -> KnownFaults:
    """Return what monitoring knows of the load: unusable samples of the snapshot, and open faults."""
    unusable = (pl.col("quality").cast(pl.Int64) & int(Quality.UNUSABLE)) != 0
    load = pl.col("quantity") == LOAD
    keys = ["area", "quantity", "at"]
    touched = panel.frame.filter(load & unusable).select(keys).unique()
    newest = panel.frame.filter(load).join(touched, on=keys, how="semi").unique(keys, keep="last", maintain_order=True)
    lasting = [
        KnownFault(str(signal.evidence.get("kind", "fault")), tuple(signal.areas or bench.areas), signal.since, None)
        for signal in bench.ledger.find(SignalRecord, signal_class="data_fault", closed_at=None, order_by="at")
        if signal.evidence.get("quantity") == LOAD and signal.since < panel.as_of
    ]
    return KnownFaults(newest.filter(unusable).select("area", "at"), tuple(lasting))


def _leak_checks(bench: Workbench, evidence: Evidence) -> Iterator[CheckResult]:
    names = bench.features.names
    columns = ["area", "issued_at", "at", LOAD, *names]
    frames = [frame for frame in (evidence.training, evidence.holdout) if set(columns) <= set(frame.columns)]
    learned = pl.concat([frame.select(columns) for frame in frames]) if frames else evidence.training.clear()
    reach = bench.features.memory + timedelta(days=2)

    def recompute(issue: datetime, areas: Sequence[str]) -> pl.DataFrame:
        near = pl.col("at").is_between(instant(issue - reach), instant(issue + reach))
        panel = Panel(evidence.panel.frame.filter(near), evidence.panel.resolution, evidence.panel.as_of)
        return bench.features.compute(panel.at_time(issue), [issue], areas)

    yield check_leak(LeakProbe(learned, names, recompute))


def _performance_checks(bench: Workbench, evidence: Evidence) -> Iterator[CheckResult]:
    answers, zone = evidence.evaluation.answers, bench.features.horizon.zone
    pair = HoldOut.from_frame(
        evidence.holdout,
        zone,
        QUANTILES,
        candidate=answers["candidate"],
        champion=answers.get("champion"),
        naive=answers["seasonal_naive"],
    ).with_live(handed_out(bench.ledger, evidence.holdout, timedelta(days=bench.policy.recent_days)))
    pair = pair.with_groups(bench.groups)
    found = evidence.of("holdout", "evaluation")
    yield from check_performance(pair, bench.policy, bench.timer, found)
    yield from timed(bench.timer, found, _worth_checks(bench, pair, evidence.trigger))
    own = {name: n for name, n in evidence.package.facts.metrics.items() if not name.startswith("incumbent_")}
    yield from timed(bench.timer, found, _own_checks(bench, pair, own))


def _worth_checks(bench: Workbench, pair: HoldOut, trigger: str) -> Iterator[CheckResult]:
    if trigger in UNASKED:
        yield check_worth(pair, bench.policy, trigger)


def _own_checks(bench: Workbench, pair: HoldOut, own: Mapping[str, float | int | None]) -> Iterator[CheckResult]:
    yield check_coverage(pair, bench.policy)
    yield check_metrics(own, bench.policy)


def _safety_checks(bench: Workbench, evidence: Evidence, model: Model) -> Sequence[CheckResult]:
    probe = SafetyProbe(
        rows=_latest_days(evidence.holdout, PROBE_DAYS),
        feature_names=bench.features.names,
        quantiles=QUANTILES,
        temperature_columns=temperature_columns(bench.features.names),
        assets=_assets(bench, evidence.panel),
        days=special_days(bench.features, evidence.panel, sorted(evidence.training["area"].unique().to_list())),
    )
    return check_safety(model.predict, probe, bench.policy, bench.timer, evidence.of("package", "holdout"))


def _assets(bench: Workbench, panel: Panel) -> dict[str, AssetBounds]:
    """Return what each asset can do, learned from the last year of its load as the gateway learns it."""
    year = (pl.col("quantity") == LOAD) & (pl.col("at") >= instant(panel.as_of - ASSETS_FROM))
    found = limits_from(Panel(panel.frame.filter(year), panel.resolution, panel.as_of), ramp_margin=1.0)
    mine = set(bench.areas)
    return {
        area: AssetBounds(limit.minimum_mw, limit.maximum_mw, limit.ramp_mw)
        for area, limit in found.items()
        if area in mine
    }


def _network_checks(bench: Workbench, evidence: Evidence) -> Iterator[CheckResult]:
    if bench.network is None or evidence.holdout.is_empty():
        return
    evaluation = evidence.evaluation
    against = "champion" if "champion" in evaluation.answers else "seasonal_naive"
    sides = {"candidate": evaluation.answers["candidate"], "reference": evaluation.answers[against]}
    columns = {f"{who}_{end}": mw[:, k] for who, mw in sides.items() for end, k in (("low", 0), ("high", -1))}
    frame = evaluation.rows.select("area", "at", pl.col(LOAD).alias("truth")).with_columns(
        **{name: pl.Series(mw) for name, mw in columns.items()}
    )
    try:
        grid = bench.network()
    except Unavailable as error:
        yield CheckResult("safety.network", HOLD, f"the network cannot be tried: {error.explain()}")
        return
    yield check_network(grid, NetworkProbe(frame, against.replace("_", " ")), bench.policy)


def _process_checks(bench: Workbench, evidence: Evidence, model: Model) -> Iterator[CheckResult]:
    yield check_parity(check_golden(evidence.package, model.predict))
    requests = [] if evidence.holdout.is_empty() else day_requests(evidence.holdout)
    yield from measured_checks(bench, evidence.folder, evidence.package, model, requests)


def day_requests(holdout: pl.DataFrame) -> list[pl.DataFrame]:
    """Return the rows of the newest issue of the hold-out, one frame an area: what production would ask."""
    day = holdout.filter(pl.col("issued_at") == holdout["issued_at"].max())
    return [part for _, part in day.group_by("area", maintain_order=True)]


def _latest_days(rows: pl.DataFrame, days: int) -> pl.DataFrame:
    if rows.is_empty():
        return rows
    issues = rows["issued_at"].unique().sort()
    return rows.filter(pl.col("issued_at") >= issues[-min(days, issues.len())])
