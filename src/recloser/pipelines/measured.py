"""Owns what is measured of a package once and then is evidence: latency and trial. Judges nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from recloser.core import RecloserError, Refused, Unavailable, canonical_json
from recloser.models import Model
from recloser.pipelines.workbench import Workbench
from recloser.registry import Package
from recloser.staging import (
    CheckResult,
    Latency,
    TrialReport,
    check_latency,
    check_trial,
    failed_trial,
    measure_latency,
    not_tried,
)

FILE = "measured.json"


@dataclass(frozen=True, slots=True)
class Measured:
    """Numbers of one package that another measurement would not repeat exactly.

    Attributes:
        release: which package.
        latency: time of calls in this process; None without rows to call with.
        trial: what the trial in a process of its own showed; None where there was none.
        refused: why the trial's process would not serve the package, empty if it would.
    """

    release: str
    latency: Latency | None
    trial: TrialReport | None
    refused: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready form."""
        return {
            "release": self.release,
            "latency": None if self.latency is None else asdict(self.latency),
            "trial": None if self.trial is None else self.trial.to_dict(),
            "refused": self.refused,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Measured:
        """Read what `to_dict` wrote."""
        latency, trial = data["latency"], data["trial"]
        return cls(
            str(data["release"]),
            None if latency is None else Latency(**latency),
            None if trial is None else TrialReport.from_dict(trial),
            str(data["refused"]),
        )


def measured(bench: Workbench, folder: Path, package: Package, model: Model, requests: list[pl.DataFrame]) -> Measured:
    """Return what was measured of the package, from the run's folder if it was measured before.

    Raises:
        Unavailable: the trial could not be made now; nothing is kept, so that it is tried again.
    """
    file = folder / FILE
    if file.is_file():
        known = Measured.from_dict(json.loads(file.read_bytes()))
        if known.release == package.release and (known.trial is not None or bench.trial is None or known.refused):
            return known
    latency = measure_latency(model.predict, requests, bench.timer) if requests else None
    trial, refused = None, ""
    if bench.trial is not None and requests:
        try:
            trial = bench.trial.run(package, requests, bench.trial_plan)
        except Refused as error:
            refused = error.explain()
    result = Measured(package.release, latency, trial, refused)
    file.write_bytes(canonical_json(result.to_dict()))
    # What is judged is what is kept: a number read back is the number that is judged the next time.
    return Measured.from_dict(json.loads(file.read_bytes()))


def measured_checks(
    bench: Workbench, folder: Path, package: Package, model: Model, requests: list[pl.DataFrame]
) -> Iterator[CheckResult]:
    """Yield the checks of latency and trial; a trial that could not be made is a hold."""
    failure: RecloserError | None = None
    try:
        found = measured(bench, folder, package, model, requests)
    except Unavailable as error:
        failure = error
        latency = measure_latency(model.predict, requests, bench.timer)
        found = Measured(package.release, latency, None)
    if found.latency is not None:
        yield check_latency(found.latency, bench.policy)
    if failure is not None:
        yield failed_trial(failure)
    elif found.refused:
        yield failed_trial(Refused("the package is refused by its own process", got=found.refused))
    elif found.trial is not None:
        yield from check_trial(found.trial, package.release, bench.policy)
    else:
        yield not_tried(bench.untried)
