"""Owns the gate of a detector as a pipeline step: gathers the evidence, staging judges. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from recloser.core import FloatArray, InvalidInput, digest_bytes
from recloser.features.phasors import PHASOR_FEATURES, phasor_features
from recloser.models import EventDetector, Model
from recloser.pipelines.detection.recipe import SYNTHETIC, DetectionRecipe, rows_of, truth_of
from recloser.pipelines.measured import measured_checks
from recloser.pipelines.proving import check_formats
from recloser.pipelines.workbench import Workbench
from recloser.registry import Package, check_golden
from recloser.simulation.phasors import GridEvent, PhasorPlan, scene
from recloser.staging import (
    HOLD,
    PASS,
    CheckResult,
    DetectionHoldOut,
    DetectionProbe,
    Verdict,
    check_detection,
    check_detection_safety,
    check_parity,
    judge,
    timed,
    waivers_in,
)

REQUIRED = ("formats", "windows", "performance", "safety", "parity", "latency", "trial")
"""Groups of checks without which a detector does not pass."""
PROBE_SCENES = 12
PROBE_SEED = 3
REQUESTS = 48
DAYS = 15
"""The scenes of the hold-out are dealt to so many days, for comparisons by paired days."""


@dataclass(frozen=True, slots=True, eq=False)
class DetectionEvidence:
    """What the verdict on one detector rests on.

    Attributes:
        package: opened and verified.
        training, holdout: labelled windows, WINDOW_SCHEMA.
        candidate, champion: probabilities on the hold-out, shape (n_windows, n_kinds); None without a champion.
        folder: the run's files.
    """

    package: Package
    training: pl.DataFrame
    holdout: pl.DataFrame
    candidate: FloatArray
    champion: FloatArray | None
    folder: Path

    def digests(self) -> dict[str, str]:
        """Return name -> SHA-256 of what the evidence is read from."""
        files = ("training.parquet", "holdout.parquet", "answers.npz")
        return {name: digest_bytes((self.folder / name).read_bytes()) for name in files}


def days_of(windows: pl.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.datetime64]]:
    """Return the day that each window of a hold-out is dealt to, shape (n_windows,)."""
    numbers = windows["scene"].to_numpy() % DAYS
    return np.datetime64("2020-01-01", "D") + numbers.astype("timedelta64[D]")


def judged_detector(bench: Workbench, recipe: DetectionRecipe, evidence: DetectionEvidence) -> Verdict:
    """Return the verdict on the package of a detector."""
    model = bench.load(evidence.package.model_folder)
    checks = tuple(timed(bench.timer, evidence.digests(), _checks(bench, recipe, evidence, model)))
    waivers = waivers_in(bench.ledger.entries(subject=evidence.package.release), bench.clock.now())
    return judge(checks, REQUIRED, waivers)


def _checks(
    bench: Workbench, recipe: DetectionRecipe, evidence: DetectionEvidence, model: Model
) -> Iterator[CheckResult]:
    yield check_formats(evidence.package, allow_pickle=bench.allow_pickle)
    yield _windows(evidence, recipe.kinds)
    truth = truth_of(evidence.holdout, recipe.kinds)
    holdout = DetectionHoldOut(
        recipe.kinds, days_of(evidence.holdout), recipe.sampled_s, truth, evidence.candidate, evidence.champion
    )
    yield from check_detection(holdout, recipe.need, bench.policy)
    yield from check_detection_safety(_answering(model), probe_of(recipe))
    yield check_parity(check_golden(evidence.package, model.predict))
    quiet = evidence.holdout.head(REQUESTS)
    requests = [rows_of(quiet[index : index + 1], recipe.kinds) for index in range(quiet.height)]
    yield from measured_checks(bench, evidence.folder, evidence.package, model, requests)


def _answering(model: Model) -> _Answers:
    if not isinstance(model, EventDetector):
        raise InvalidInput("not a detector of events", got=model.kind, expected="event_detector", where="judge")
    return _Answers(model)


@dataclass(frozen=True, slots=True)
class _Answers:
    model: EventDetector

    def __call__(self, inputs: FloatArray) -> FloatArray:
        return self.model.all_classes(inputs.astype(np.float32))


def _windows(evidence: DetectionEvidence, kinds: Sequence[str]) -> CheckResult:
    """Say what the training windows are; simulated ones are named as that in the verdict itself."""
    told = evidence.training["origin"].value_counts().sort("origin")
    by_origin = dict(zip(told["origin"].to_list(), told["count"].to_list(), strict=True))
    numbers = {"windows": by_origin, "holdout": evidence.holdout.height}
    shared = evidence.training.select(PHASOR_FEATURES).join(
        evidence.holdout.select(PHASOR_FEATURES), on=list(PHASOR_FEATURES[:4]), how="semi"
    )
    if shared.height:
        return CheckResult("windows", "refuse", f"{shared.height} windows of the hold-out were learned from", numbers)
    absent = sorted(set(kinds) - set(evidence.holdout["label"].unique().to_list()))
    if absent:
        return CheckResult("windows", HOLD, f"the hold-out shows no {', '.join(absent)}", numbers)
    parts = [f"{count} {'simulated' if origin == SYNTHETIC else origin}" for origin, count in by_origin.items()]
    return CheckResult("windows", PASS, f"learned from {' and '.join(parts)} windows, none of the hold-out", numbers)


def probe_of(recipe: DetectionRecipe) -> DetectionProbe:
    """Return quiet windows of systems that nobody learned from, whole and with half of the PMUs gone."""
    quiet, lost = [], []
    for number in range(PROBE_SCENES):
        plan = PhasorPlan(PROBE_SEED, 6 + number, 30, recipe.nominal_hz)
        block = scene(plan, GridEvent.NONE, number).block
        part = block.part(0, round(recipe.window_s * plan.rate_hz))
        quiet.append(phasor_features(part))
        gone = np.zeros(plan.pmus, dtype=bool)
        gone[::2] = True
        numbers = (part.voltage_pu, part.angle_rad, part.frequency_hz)
        voltage, angle, frequency = (np.where(gone, np.nan, found) for found in numbers)
        broken = replace(
            part,
            voltage_pu=voltage,
            angle_rad=angle,
            frequency_hz=frequency,
            unusable=part.unusable | gone,
        )
        lost.append(phasor_features(broken))
    data_kinds = tuple(kind for kind in recipe.kinds if kind == GridEvent.BAD_DATA.value)
    return DetectionProbe(recipe.kinds, data_kinds, np.array(quiet), np.array(lost), recipe.need.threshold)
