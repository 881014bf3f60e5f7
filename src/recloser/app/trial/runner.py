"""Owns the TrialRunner that starts the candidate's process, loads it and gathers what it told. Judges nothing."""

from __future__ import annotations

import http.client
import importlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import compress
from pathlib import Path
from typing import Any

import polars as pl

from recloser.app.foreign import ONE_THREAD
from recloser.app.platform import Platform
from recloser.app.trial.bodies import HOST, PATH, Judge, answers_in, body_of, same_bits, turned_away, why_turned_away
from recloser.app.trial.environment import fresh_interpreter
from recloser.app.trial.machine import differences, machine_facts
from recloser.core import InvalidInput, Refused, Unavailable, format_utc
from recloser.features import FeatureSet
from recloser.models import Model
from recloser.registry import Package, read_golden
from recloser.serving.wire.rows import quantile_names
from recloser.staging import GoldenTold, GridModel, TrialPlan, TrialReport
from recloser.staging.trial.load import Target, load_of
from recloser.staging.trial.report import FRESH

GRACE_S = 15.0
NETWORK = "recloser.staging.network.power_flow"


@dataclass(frozen=True, slots=True)
class ProcessTrials:
    """Runs candidates of one project in processes of their own; conforms to `recloser.staging.TrialRunner`.

    Attributes:
        folder: project.
        at: instant up to which the assets' limits are learned (aware UTC), told at each trial.
        load: opens a saved model folder.
        extra: the project's own features.
        wheelhouse: folder of wheels for fresh environments.
    """

    folder: Path
    at: Callable[[], datetime]
    load: Callable[[Path], Model]
    extra: tuple[Any, ...]
    wheelhouse: Path

    def run(self, package: Package, requests: Sequence[pl.DataFrame], plan: TrialPlan) -> TrialReport:
        """Start the real gateway with the package alone, load it, and tell what was seen."""
        with tempfile.TemporaryDirectory(prefix="recloser-trial-") as scratch:
            python, environment = sys.executable, {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            if plan.environment == FRESH:
                python = str(fresh_interpreter(package, self.wheelhouse, Path(scratch) / "venv"))
                environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
            words = [str(self.folder), package.release, format_utc(self.at()), scratch, str(os.getpid())]
            began = time.monotonic()
            # stderr is inherited: what the gateway has to say belongs into the caller's log.
            with subprocess.Popen(  # noqa: S603 - our own program
                [python, "-m", "recloser.app.trial", *words],
                stdout=subprocess.PIPE,
                env={**environment, **dict.fromkeys(ONE_THREAD, "1")},
                start_new_session=True,
            ) as process:
                try:
                    told = _line(process, plan.start_within_s)
                    return self._measured(package, requests, plan, (process, told, began))
                finally:
                    _end(process)

    def _measured(
        self,
        package: Package,
        requests: Sequence[pl.DataFrame],
        plan: TrialPlan,
        running: tuple[subprocess.Popen[bytes], dict[str, Any], float],
    ) -> TrialReport:
        process, told, began = running
        names = FeatureSet.from_dict(package.facts.feature_set, self.extra).names
        model, port = self.load(package.model_folder), int(told["port"])
        outputs = quantile_names(package.facts.quantiles)
        bodies = [body_of(rows, names) for rows in requests]
        if not bodies:
            raise InvalidInput("no requests to try a candidate with", where=package.release)
        told_first = _post(port, bodies[0])
        start_s = time.monotonic() - began
        answered = [told_first, *(_post(port, body) for body in bodies[1:])]
        passed = [not turned_away(*one) for one in answered]
        if not any(passed):
            raise Unavailable(
                "the guard lets no request of the hold-out pass",
                got=f"{len(bodies)} turned away, the first one so: {why_turned_away(answered[0][1])}",
            )
        golden = [GoldenTold(**item) for item in told["golden"]]
        golden.append(gateway_golden(package, port, names, outputs))
        judge = Judge([model.predict(rows) for rows in compress(requests, passed)], outputs)
        target = Target(HOST, port, PATH, tuple(compress(bodies, passed)))
        load = load_of(target, plan.rate_per_s, plan.seconds, judge)
        process.terminate()
        ended = _line(process, GRACE_S)
        return TrialReport(
            release=str(told["release"]),
            environment=plan.environment,
            start_s=start_s,
            memory_mb=float(ended["memory_mb"]),
            golden=tuple(golden),
            load=replace(load, compared=judge.compared, different=judge.different, fallbacks=judge.fallbacks),
            locked={name: (pair[0], pair[1]) for name, pair in told["locked"].items()},
            staging=told["staging"],
            differs=differences(told["staging"], machine_facts()),
            turned_away=passed.count(False),
        )


def gateway_golden(package: Package, port: int, names: Sequence[str], outputs: tuple[str, ...]) -> GoldenTold:
    """Ask the gateway the golden rows one by one and compare the answers that are the candidate's own.

    Rows whose inputs the guard turns away (nothing known, no level) are left out: there the model is not asked.
    """
    golden = read_golden(package)
    compared, wrong = 0, []
    for index in range(golden.rows.height):
        status, body = _post(port, body_of(golden.rows[index], names))
        if status != 200:
            continue
        mw, by = answers_in(body, outputs)
        if by == ["champion"]:
            compared += 1
            if not same_bits(mw, golden.answers[index : index + 1]):
                wrong.append(index)
    told = f"row {wrong[0]} is answered otherwise, and {len(wrong) - 1} more" if wrong else "all equal, bit for bit"
    return GoldenTold("gateway, HTTP", compared, not wrong, f"golden rows: {told}")


def _post(port: int, body: bytes) -> tuple[int, bytes]:
    """Send one request and return status and body.

    Raises:
        Unavailable: the trial's gateway does not answer.
    """
    with closing(http.client.HTTPConnection(HOST, port, timeout=30)) as connection:
        try:
            connection.request("POST", PATH, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable("the trial's gateway does not answer", got=repr(error)) from error


def _line(process: subprocess.Popen[bytes], within_s: float) -> dict[str, Any]:
    """Return the next line that the trial's process tells.

    Raises:
        Unavailable: none in time, the process has ended, or it could not do its work now.
        Refused: it says that the package must not serve.
    """
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        ready = selector.select(within_s)
    line = process.stdout.readline() if ready else b""
    if not line:
        raise Unavailable(
            "the trial's process told nothing",
            got="it ended" if ready else f"silence for {within_s:g} s",
            next_step="Its log is above; see [staging] start_within_seconds.",
        )
    told: dict[str, Any] = json.loads(line)
    if "error" in told:
        kind = Refused if told["exit_code"] == Refused.exit_code else Unavailable
        raise kind("the trial's process refuses the package", got=told["error"])
    return told


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def with_trials(platform: Platform) -> Platform:
    """Let the platform try candidates in processes of their own, and on the network, if the project file says so."""
    staging = platform.project.staging
    if staging.network.file is not None:
        platform.network = lambda: open_grid(platform)
    if staging.process == "own":
        platform.untried = '[staging] process = "own"'
        return platform
    platform.trial = ProcessTrials(
        folder=platform.layout.root.resolve(),
        at=platform.clock.now,
        load=platform.open_model,
        extra=platform.features.extra,
        wheelhouse=platform.layout.root / staging.wheelhouse,
    )
    return platform


def open_grid(platform: Platform) -> GridModel:
    """Return the network model of the project file.

    Raises:
        Unavailable: the extra `network` is not installed.
        InvalidInput: no such file, or its loads are not those that the project names.
    """
    named = platform.project.staging.network
    module = importlib.import_module(NETWORK)  # seconds, and only where a network is named
    limits = module.NetworkLimits(named.lowest_pu, named.highest_pu, named.loading_percent, named.lost_loading_percent)
    grid: GridModel = module.PandapowerGrid.open(platform.layout.root / str(named.file), named.loads, limits)
    return grid
