"""Whole trials: the real gateway with a candidate's package in its own process, and what the verdict says."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recloser.app import Platform, explain_gate, run_pipeline
from recloser.app.trial.bodies import PATH, Judge, answers_in, body_of
from recloser.app.trial.environment import LOCK, fresh_interpreter
from recloser.app.trial.machine import differences, machine_facts
from recloser.app.trial.runner import ProcessTrials, with_trials
from recloser.core import RecloserError, Refused, Unavailable
from recloser.ledger import ReleaseRecord
from recloser.registry import Package, open_package
from recloser.staging import TrialPlan
from recloser.staging.trial.load import Target, load_of

NOW = datetime(2020, 4, 30, tzinfo=UTC)
TRIED = ("trial.package", "trial.environment", "trial.golden", "trial.answers", "latency.load", "latency.start")


def separate(folder: Path) -> Path:
    file = folder / "recloser.toml"
    text = file.read_text(encoding="utf-8")
    text = text.replace('process = "own"', 'process = "separate"\ntrial_seconds = 1.0')
    file.write_text(
        text + "\n[gateway.sla]\nrequests_per_second = 20.0\np50_ms = 5000.0\np99_ms = 10000.0\n", encoding="utf-8"
    )
    return folder


def checks_of(document: Any) -> dict[str, Any]:
    return {check["name"]: check for check in document["checks"]}


@pytest.mark.slow
def test_a_run_tries_its_candidate_by_the_real_gateway_and_measures_once(project: Path) -> None:
    separate(project)
    ran = run_pipeline(project, as_of=NOW, engine="local", progress=lambda _line: None)
    assert ran["verdict"] == "pass", ran["reason"]
    checks = checks_of(ran)
    assert set(TRIED) <= set(checks)
    golden = checks["trial.golden"]["numbers"]
    assert golden["process, data frame"] == golden["process, arrays"]
    assert golden["gateway, HTTP"]["rows"] >= 100  # real rows and rows on splits; rows of nothing go to the ladder
    assert checks["trial.answers"]["numbers"] == {"compared": 20, "different": 0, "fallbacks": 0}
    load = checks["latency.load"]["numbers"]
    assert (load["sent"], load["answered"], load["error_share"]) == (20, 20, 0)
    staging = checks["trial.environment"]["numbers"]["staging"]
    assert staging["libraries"] == machine_facts()["libraries"]
    assert checks["trial.package"]["numbers"]["mode"] == "separate process"
    measured = project / "state" / "runs" / ran["run"] / "measured.json"
    assert json.loads(measured.read_bytes())["trial"]["release"] == ran["candidate"]
    told = explain_gate(project, ran["candidate"])
    assert len(told["sentences"]) <= 42
    assert "latency.load" in "\n".join(told["sentences"])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("wrk") is None, reason="the load generator wrk is not installed")
def test_the_gateways_own_count_agrees_with_ours_and_with_wrks(project: Path, tmp_path: Path) -> None:
    ran = run_pipeline(project, as_of=NOW, engine="local", progress=lambda _line: None)
    rows = pl.read_parquet(project / "state" / "runs" / ran["run"] / "holdout.parquet")
    rows = rows.filter((pl.col("area") == "F01") & (pl.col("issued_at") == pl.col("issued_at").max()))
    with Platform.open(project) as platform:
        body = body_of(rows, platform.features.names)
    words = [str(project), ran["candidate"], "2020-04-30T00:00:00Z", str(tmp_path), str(os.getpid())]
    command = [sys.executable, "-m", "recloser.app.trial", *words]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        try:
            assert process.stdout is not None
            port = json.loads(process.stdout.readline())["port"]
            report = load_of(Target("127.0.0.1", port, PATH, (body,)), 20.0, 1.0)
            assert (report.answered, report.errors) == (20, {})
            ours = counted(port)
            script = tmp_path / "post.lua"
            text = body.decode().replace("\\", "\\\\")
            headers = 'wrk.headers["Content-Type"] = "application/json"'
            script.write_text(f"wrk.method = 'POST'\n{headers}\nwrk.body = [==[{text}]==]\n", encoding="utf-8")
            url = f"http://127.0.0.1:{port}{PATH}"
            told = subprocess.run(
                ["wrk", "-t1", "-c2", "-d2s", "-s", str(script), url], capture_output=True, text=True, check=True
            ).stdout
            by_wrk = int(next(line for line in told.splitlines() if "requests in" in line).split()[0])
            assert ours == 20
            assert "Non-2xx" not in told
            assert abs(counted(port) - ours - by_wrk) <= 4  # wrk breaks off what is under way at its end
        finally:
            process.terminate()


def counted(port: int) -> int:
    """Return how many inference requests the gateway says that it answered well."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    lines = [line for line in text.splitlines() if "requests_total{" in line and '"infer"' in line and '"200"' in line]
    return round(sum(float(line.rsplit(" ", 1)[1]) for line in lines))


@pytest.mark.slow
def test_a_tampered_package_is_refused_by_its_own_process(project: Path) -> None:
    run_pipeline(project, as_of=NOW, engine="local", progress=lambda _line: None)
    with Platform.open(separate(project)) as platform:
        record = platform.ledger.find(ReleaseRecord)[0]
        opened = open_package(platform.layout.packages / record.key, platform.trusted)
        folder = project / "state" / "runs" / platform.ledger.find(ReleaseRecord)[0].run
        rows = pl.read_parquet(folder / "holdout.parquet").head(24)
        trials = with_trials(platform).trial
        assert isinstance(trials, ProcessTrials)
        file = opened.path / "model" / "centre.txt"
        file.write_bytes(file.read_bytes() + b" ")
        with pytest.raises(Refused, match="refuses the package"):
            trials.run(opened, [rows], TrialPlan(20.0, 0.5))
        assert not list(Path("/tmp").glob("recloser-trial-*/venv"))  # noqa: S108 - nothing is left behind


@pytest.fixture
def package(project: Path) -> Package:
    run_pipeline(project, as_of=NOW, engine="local", progress=lambda _line: None)
    with Platform.open(project) as platform:
        return open_package(next(platform.layout.packages.glob("rel-*")), platform.trusted)


def test_a_fresh_environment_needs_a_wheelhouse_and_every_wheel(package: Package, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no wheelhouse"):
        fresh_interpreter(package, tmp_path / "absent", tmp_path / "venv")
    (tmp_path / "wheels").mkdir()
    with pytest.raises(Unavailable, match="cannot be made from the wheelhouse") as caught:
        fresh_interpreter(package, tmp_path / "wheels", tmp_path / "venv")
    assert "No matching distribution" in str(caught.value.got)


def wheel(folder: Path, name: str, version: str) -> bytes:
    """Make an empty wheel."""
    info, file = f"{name}-{version}.dist-info", folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        facts = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{info}/WHEEL", facts)
        archive.writestr(f"{info}/RECORD", "")
    return file.read_bytes()


@pytest.mark.slow
def test_a_lock_with_hashes_is_kept_to_the_byte(package: Package, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    digest = hashlib.sha256(wheel(wheels, "tinygrid", "1.2")).hexdigest()
    wheel(wheels, "recloser", str(package.facts.environment.libraries["recloser"]))
    for number, (hashed, fits) in enumerate(((digest, True), ("0" * 64, False))):
        lock = f"tinygrid==1.2 --hash=sha256:{hashed}\n".encode()
        folder = tmp_path / f"package-{number}"
        (folder / "environment").mkdir(parents=True)
        (folder / LOCK).write_bytes(lock)
        entry = replace(package.files[0], path=LOCK, size=len(lock), sha256=hashlib.sha256(lock).hexdigest())
        locked = replace(package, path=folder, files=(entry,))
        if fits:
            python = fresh_interpreter(locked, wheels, tmp_path / f"venv-{number}")
            subprocess.run([python, "-c", "import tinygrid, recloser"], check=True)
        else:
            with pytest.raises(Unavailable, match="cannot be made"):
                fresh_interpreter(locked, wheels, tmp_path / f"venv-{number}")


def test_without_a_process_of_its_own_the_verdict_says_so(project: Path) -> None:
    ran = run_pipeline(project, as_of=NOW, engine="local", progress=lambda _line: None)
    trial = checks_of(ran)["trial.process"]
    assert trial["verdict"] == "pass"
    assert trial["reason"] == 'judged in this process: [staging] process = "own"'
    assert not set(TRIED) & set(checks_of(ran))


class NoWheel:
    """A runner whose environment is not to be had, or whose process refuses."""

    def __init__(self, error: RecloserError) -> None:
        self._error = error

    def run(self, package: Any, requests: Any, plan: Any) -> Any:
        """Fail as told."""
        del package, requests, plan
        raise self._error


@pytest.mark.parametrize(
    ("error", "verdict"), [(Unavailable("no wheel of numpy"), "hold"), (Refused("the model has changed"), "refuse")]
)
def test_a_trial_that_comes_to_nothing_is_a_hold_and_a_refused_package_a_refusal(
    error: RecloserError, verdict: str, project: Path, run_with: Callable[..., Any]
) -> None:
    outcome = run_with(project, NoWheel(error))
    assert outcome.verdict == verdict
    trial = {check["name"]: check for check in outcome.results["judge"]["checks"]}["trial.process"]
    assert trial["verdict"] == verdict
    assert error.what in trial["reason"]


@pytest.fixture
def run_with() -> Callable[..., Any]:
    from recloser.core import VirtualClock, format_utc
    from recloser.engines import LocalEngine, RetryPolicy
    from recloser.pipelines import candidate_pipeline

    def run(folder: Path, trial: Any) -> Any:
        with Platform.open(folder, clock=VirtualClock(NOW)) as platform:
            bench = replace(platform.workbench(), trial=trial)
            engine = LocalEngine(platform.ledger, platform.clock, RetryPolicy(), lambda _s: None)
            parameters = {"as_of": format_utc(NOW), "run": "run-1", "trigger": "api"}
            return engine.run(candidate_pipeline(), bench, "run-1", "api", "a test", parameters)

    return run


def test_bodies_keep_bits_and_gaps_and_answers_are_compared_by_them() -> None:
    at = pl.Series("at", [NOW, NOW]).dt.cast_time_unit("us")
    rows = pl.DataFrame({"area": ["A", "A"], "at": at, "scale_mw": [3.0, None], "x": [0.1, float("nan")]})
    sent = {item["name"]: item["data"] for item in json.loads(body_of(rows.cast({"x": pl.Float32}), ["x"]))["inputs"]}
    assert sent["x"] == [float(np.float32(0.1)), None]
    assert sent["scale_mw"] == [3.0, None]
    names = ("q10", "q50", "q90")
    outputs = [{"name": name, "data": [0.1 + 0.2, None]} for name in names]
    body = json.dumps({"outputs": [*outputs, {"name": "served_by", "data": ["champion", "champion"]}]}).encode()
    mw, by = answers_in(body, names)
    assert by == ["champion", "champion"]
    judge = Judge([mw], names)
    assert judge(0, body) is None
    assert judge(1, body.replace(b"0.30000000000000004", b"0.3")) is None
    assert judge(2, body.replace(b"champion", b"fallback:naive")) is None
    assert judge(3, b"{}") == "unreadable answer: KeyError"
    assert (judge.compared, judge.different, judge.fallbacks) == (2, 1, 1)


def test_differences_of_machines_are_told_by_name() -> None:
    here = machine_facts()
    assert differences(here, here) == {}
    there = {**here, "cpus": 64, "libraries": {**here["libraries"], "numpy": "1.0"}}
    assert differences(here, there) == {"cpus": (here["cpus"], 64), "numpy": (here["libraries"]["numpy"], "1.0")}
