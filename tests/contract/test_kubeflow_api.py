"""What the cluster engine asks of Kubeflow Pipelines: every request is valid, and every documented failure is met."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from recloser.connectors.rest import Rest, RestTarget
from recloser.core import InvalidInput, Refused, Unavailable, VirtualClock
from recloser.engines import RetryPolicy, StepProgress
from recloser.engines.kubeflow import (
    ClusterEngine,
    Following,
    KubeflowApi,
    KubeflowEngine,
    KubeflowTarget,
    RunPlace,
    TaskPlan,
)
from recloser.ledger import Ledger, RunRecord, StepRecord
from recloser.pipelines import Pipeline, Step, When

if importlib.util.find_spec("kfp") is None:
    pytest.skip("the extra 'kubeflow' is not installed", allow_module_level=True)

from recloser.testing.apis import Fault
from recloser.testing.apis.http_api import wait_until
from recloser.testing.apis.kubeflow_api import Control, KubeflowServer
from recloser.testing.apis.kubeflow_tasks import TaskRunner

pytestmark = pytest.mark.services
NOW = datetime(2020, 3, 1, 9, tzinfo=UTC)
TOKEN = "a-token-of-a-service-account"

# The steps of a project as a task's process finds them: each recorded in the ledger that all share.
PROJECT = """
import json, pathlib
from datetime import UTC, datetime
from recloser.core import Unavailable, VirtualClock
from recloser.engines import RetryPolicy, RunBook, StepApart
from recloser.ledger import Ledger
from recloser.pipelines import Pipeline, Step, When

HERE = pathlib.Path(__file__).parent

def load_it(bench, inputs):
    with (HERE / "loads").open("a") as file:
        file.write("x")
    if (HERE / "hang").exists():
        import time; time.sleep(600)
    return {"rows": [1, 2.5, inputs["parameters"].get("scale", 1)]}

def judge(bench, inputs):
    if (HERE / "broken").exists():
        raise SystemExit("killed, as a pod is")
    if (HERE / "away").exists():
        raise Unavailable("the store is away")
    return {"candidate": "rel-1", "verdict": inputs["parameters"].get("wish", "pass")}

def register(bench, inputs):
    return {"candidate": "rel-1", "verdict": inputs["judge"]["verdict"], "version": 3}

def pipeline():
    return Pipeline("small", (
        Step("load_it", load_it), Step("judge", judge, ("load_it",)),
        Step("register", register, ("judge",), When("judge", "pass")),
    ))

def run_step(project, run_key, step, inputs_json):
    results = json.loads(inputs_json)
    given = results.pop("parameters")
    clock = VirtualClock(datetime(2020, 3, 1, 10, tzinfo=UTC))
    with Ledger.open(f"sqlite:///{project}/ledger.db") as ledger:
        book, whole = RunBook(ledger, clock), pipeline()
        run = book.enter(whole, run_key, lambda: ("schedule", "by itself", given))
        apart = StepApart(ledger, clock, RetryPolicy(attempts=1))
        return json.dumps(apart.run(whole, None, run, step, results))
"""


class Site:
    """A project, a ledger and a cluster beside each other."""

    def __init__(self, folder: Path, server: KubeflowServer, runner: TaskRunner, ledger: Ledger, module: Any):
        self.folder, self.server, self.runner, self.ledger, self.module = folder, server, runner, ledger, module
        self.pipeline: Pipeline = module.pipeline()
        self.told: list[tuple[str, str]] = []
        (folder / "token").write_text(TOKEN + "\n")

    def api(self, **change: Any) -> KubeflowApi:
        target = RestTarget(self.server.url, token_file=self.folder / "token", timeout_s=60.0)
        return KubeflowApi(Rest(replace(target, **change), sleep=lambda _: None))

    def engine(self, **change: Any) -> ClusterEngine:
        plan = TaskPlan(retry=RetryPolicy(attempts=1))
        target = KubeflowTarget(str(self.folder), "recloser_cluster_steps:run_step", "image:1", plan)
        following = replace(
            Following("grid", self.folder / "ir", poll_s=0.02, patience_s=600.0, progress=self._tell), **change
        )
        return ClusterEngine(self.ledger, VirtualClock(NOW), target, self.api(), following)

    def run(self, key: str = "run-1", parameters: dict[str, Any] | None = None, **change: Any) -> Any:
        given = {"scale": 3} if parameters is None else parameters
        return self.engine(**change).run(self.pipeline, None, key, "manual", "a test", given)

    def quick(self) -> None:
        """Let the cluster run the tasks in this process: for tests of what is between it and the engine."""

        def execute(ir: Any, given: dict[str, Any], job: str, control: Control) -> bool:
            del ir, job
            results: dict[str, Any] = {}
            for step in self.pipeline.steps:
                control.tell(step.name.replace("_", "-"), "RUNNING")
                inputs = {"parameters": json.loads(given["parameters"]), **{n: results[n] for n in step.needs}}
                told = self.module.run_step(str(self.folder), given["run_key"], step.name, json.dumps(inputs))
                results[step.name] = json.loads(told)
                control.tell(step.name.replace("_", "-"), "SUCCEEDED")
            return True

        self.server._execute = execute

    def actions(self) -> list[str]:
        return [entry.action for entry in self.ledger.entries()]

    def record(self, key: str = "run-1") -> RunRecord:
        found = self.ledger.get(RunRecord, key)
        assert found is not None
        return found

    def _tell(self, step: StepProgress) -> None:
        self.told.append((step.name, step.state))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    (tmp_path / "recloser_cluster_steps.py").write_text(PROJECT)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.reload(importlib.import_module("recloser_cluster_steps"))
    path = os.pathsep.join([str(tmp_path), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    runner = TaskRunner(tmp_path / "tasks", {**os.environ, "PYTHONPATH": path})
    with (
        Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as ledger,
        KubeflowServer(runner.execute, TOKEN) as server,
    ):
        yield Site(tmp_path, server, runner, ledger, module)
        assert server.complaints == [], "a request that the API's definition does not allow"
        found = ledger.verify()
        assert found.ok, found.reason


def test_a_run_on_the_cluster_comes_to_what_the_functions_come_to(site: Site) -> None:
    outcome = site.run()
    assert outcome.results == {
        "load_it": {"rows": [1, 2.5, 3]},
        "judge": {"candidate": "rel-1", "verdict": "pass"},
        "register": {"candidate": "rel-1", "verdict": "pass", "version": 3},
    }
    assert (outcome.state, outcome.candidate, outcome.verdict) == ("done", "rel-1", "pass")
    assert site.record().state == "done"
    assert [state for name, state in site.told if name == "register"][-1] == "done"
    steps = site.ledger.find(StepRecord, run="run-1", order_by="position")
    assert [(step.name, step.state) for step in steps] == [(name, "done") for name in ("load_it", "judge", "register")]
    assert site.run() == outcome  # a done run asks nothing
    assert len(site.server.runs) == 1
    with pytest.raises(InvalidInput, match="other parameters"):
        site.run(parameters={"scale": 4})


@pytest.mark.parametrize("verdict", ["pass", "refuse"])
def test_the_local_runner_takes_the_gate_s_word_as_the_cluster_does(
    verdict: str, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", site.runner.environment["PYTHONPATH"])
    target = KubeflowTarget(str(site.folder), "recloser_cluster_steps:run_step")
    engine = KubeflowEngine(site.ledger, VirtualClock(NOW), target, site.folder / "kfp")
    outcome = engine.run(site.pipeline, None, "run-1", "manual", "a test", {"wish": verdict})
    registered = {"candidate": "rel-1", "verdict": "pass", "version": 3}
    skipped = {"skipped": "judge said refuse, not pass"}
    assert outcome.results["register"] == (registered if verdict == "pass" else skipped)
    assert (outcome.state, outcome.verdict, site.record().verdict) == ("done", verdict, verdict)


@pytest.mark.parametrize("verdict", ["refuse", "hold"])
def test_what_waits_for_another_outcome_of_the_gate_is_skipped(site: Site, verdict: str) -> None:
    outcome = site.run(parameters={"wish": verdict})
    assert outcome.results["register"] == {"skipped": f"judge said {verdict}, not pass"}
    assert (outcome.verdict, site.record().verdict) == (verdict, verdict)
    assert "register" not in site.runner.ran


def test_a_task_that_dies_without_a_word_is_told_and_the_run_can_be_resumed(site: Site) -> None:
    (site.folder / "broken").touch()
    with pytest.raises(Unavailable, match="killed, as a pod is"):
        site.run()
    assert site.record().state == "failed"
    (site.folder / "broken").unlink()
    outcome = site.run()
    assert outcome.verdict == "pass"
    assert len(site.server.runs) == 1, "the cluster's own retry was not used"
    assert "run.retried" in site.actions()
    assert (site.folder / "loads").read_text() == "x", "a step with a stored result ran again"


def test_the_error_that_a_step_recorded_is_raised(site: Site) -> None:
    (site.folder / "away").touch()
    with pytest.raises(Unavailable, match="the store is away"):
        site.run()
    (site.folder / "away").unlink()
    site.server.faults.append(Fault("POST /apis/v2beta1/runs/", status=400))  # the cluster has forgotten the pods
    assert site.run().verdict == "pass"
    assert len(site.server.runs) == 2
    assert (site.folder / "loads").read_text() == "x"


def test_an_answer_that_is_lost_starts_no_second_run(site: Site) -> None:
    site.quick()
    site.server.faults.append(Fault("POST /apis/v2beta1/runs", kind="lose"))
    assert site.run().verdict == "pass"
    assert len(site.server.runs) == 1
    assert "run.found" in site.actions()


@pytest.mark.parametrize(
    "fault",
    [
        Fault("GET", status=500, times=3),
        Fault("GET", status=503, times=2, retry_after="1"),
        Fault("GET", status=429, times=2, retry_after="1"),
        Fault("GET", kind="drop", times=3),
        Fault("GET", kind="garbage", times=2),
        Fault("POST /apis/v2beta1/runs", status=503),
        Fault("POST /apis/v2beta1/runs", status=429),
        Fault("POST /apis/v2beta1/runs", kind="drop"),
        Fault("GET /apis/v2beta1/runs/runs-", status=502, times=20),
    ],
    ids=lambda fault: f"{fault.match.rpartition('/')[2]}-{fault.kind}-{fault.status}x{fault.times}",
)
def test_what_passes_is_waited_for(site: Site, fault: Fault) -> None:
    site.quick()
    site.server.faults.append(fault)
    assert site.run().verdict == "pass"
    assert len(site.server.runs) == 1


def test_an_api_that_does_not_answer_in_time_is_unavailable(site: Site) -> None:
    site.server.faults.append(Fault("GET", kind="hang", times=99, seconds=3.0))
    with pytest.raises(Unavailable, match="does not answer"):
        site.api(timeout_s=0.05, tries=2).experiment("grid")


def test_a_run_that_is_lost_from_sight_stays_running(site: Site) -> None:
    site.quick()
    site.server.faults.append(Fault("GET /apis/v2beta1/runs/runs-", status=503, times=100_000))
    with pytest.raises(Unavailable, match="stays away"):
        site.run(patience_s=0.0)
    assert site.record().state in {"running", "done"}
    site.server.faults.clear()
    assert site.run().verdict == "pass"
    assert len(site.server.runs) == 1


def test_who_may_not_is_refused_at_once(site: Site) -> None:
    site.quick()
    (site.folder / "token").write_text("another")
    with pytest.raises(Refused, match="does not let this caller"):
        site.run()
    assert site.record().state == "failed"
    (site.folder / "token").write_text(TOKEN)  # renewed while the process lives
    site.server.faults.append(Fault("POST /apis/v2beta1/experiments", status=403))
    with pytest.raises(Refused, match="403"):
        site.run()
    (site.folder / "token").unlink()
    with pytest.raises(Unavailable, match="cannot read the token"):
        site.run()
    (site.folder / "token").write_text(TOKEN)
    assert site.run().verdict == "pass"


def test_a_log_in_page_is_no_answer(site: Site) -> None:
    site.server.faults.append(Fault("GET", status=302))
    with pytest.raises(Refused, match="302"):
        site.api().experiment("grid")


def test_an_experiment_that_somebody_else_makes_is_used(site: Site) -> None:
    first = site.api().experiment("grid")
    assert site.api().experiment("grid") == first
    site.server.faults.append(Fault("POST /apis/v2beta1/experiments", kind="status", status=409))
    other = site.api()
    with pytest.raises(Refused, match="clashes"):
        other.experiment("nobody made it")


def test_all_pages_are_read(site: Site) -> None:
    api = site.api()
    made = [api.experiment(f"experiment {n}") for n in range(7)]
    assert [api.experiment(f"experiment {n}") for n in range(7)] == made
    place = RunPlace(made[0], "runner")
    recurring = [api.create_recurring(f"night {n}", "0 0 2 * * *", {"x": 1}, place) for n in range(5)]
    listed = [item["recurring_run_id"] for item in api.recurring(made[0])]
    assert listed == [item["recurring_run_id"] for item in recurring]
    api.change_recurring(listed[0], "disable")
    assert site.server.items["recurringruns"][listed[0]]["status"] == "DISABLED"
    api.change_recurring(listed[0], "enable")
    api.change_recurring(listed[1], "delete")
    with pytest.raises(InvalidInput, match="404"):
        api.change_recurring(listed[1], "enable")
    site.server.complaints.clear()


def test_a_cancelled_run_is_failed_and_says_so(site: Site) -> None:
    (site.folder / "hang").touch()
    with pytest.raises(Unavailable, match="longer than it is followed"):
        site.run(timeout_s=0.001)
    assert site.record().state == "running"
    assert wait_until((site.folder / "loads").exists)
    ended = site.engine().cancel(site.pipeline, "run-1", "ines", "the wrong data")
    assert ended.state == "CANCELED"
    assert site.record().state == "failed"
    noted = [entry for entry in site.ledger.entries() if entry.action == "run.cancel"]
    assert [(entry.actor, entry.facts["reason"]) for entry in noted] == [("ines", "the wrong data")]
    with pytest.raises(InvalidInput, match="nothing to cancel"):
        site.engine().cancel(site.pipeline, "run-1", "ines", "again")
    (site.folder / "hang").unlink()
    assert site.run().verdict == "pass"


def test_who_follows_is_told_of_a_cancellation(site: Site) -> None:
    (site.folder / "hang").touch()

    def cancelled(ir: Any, given: dict[str, Any], job: str, control: Control) -> bool:
        control.stopped.set()
        return site.runner.execute(ir, given, job, control)

    site.server._execute = cancelled
    with pytest.raises(Refused, match="cancelled on the cluster"):
        site.run()
    assert site.record().state == "failed"


def test_a_recurring_run_keeps_its_own_record(site: Site) -> None:
    engine = site.engine()
    del engine
    from recloser.engines.kubeflow import compile_pipeline, load_ir

    target = KubeflowTarget(str(site.folder), "recloser_cluster_steps:run_step", "image:1")
    ir = load_ir(compile_pipeline(site.pipeline, target, site.folder / "ir.yaml"))
    api = site.api()
    made = api.create_recurring("nightly", "0 0 2 * * *", ir, RunPlace(api.experiment("grid")))
    job = site.server.fire(made["recurring_run_id"])
    assert wait_until(lambda: site.server.items["runs"][job]["state"] == "SUCCEEDED")
    record = site.record(f"run-{job}")
    assert (record.state, record.trigger, record.verdict) == ("done", "schedule", "pass")


def test_a_fleet_runs_every_shard(site: Site) -> None:
    from recloser.engines.kubeflow import compile_fleet, load_ir

    shards = [site.folder / name for name in ("north", "south")]
    for shard in shards:
        shard.mkdir()
    target = KubeflowTarget("unused", "recloser_cluster_steps:run_step", "image:1")
    ir = load_ir(compile_fleet(site.pipeline, target, [str(shard) for shard in shards], site.folder / "fleet.yaml"))
    api = site.api()
    wanted = [{"project": str(shard), "run_key": f"run-{shard.name}", "parameters": "{}"} for shard in shards]
    run = api.submit("fleet", "", ir, {"shards": wanted}, RunPlace(api.experiment("grid")))
    assert wait_until(lambda: api.run(run.id).ended)
    assert api.run(run.id).state == "SUCCEEDED", api.run(run.id).tasks
    for shard in shards:
        with Ledger.open(f"sqlite:///{shard}/ledger.db") as ledger:
            record = ledger.get(RunRecord, f"run-{shard.name}")
            assert record is not None
            assert (record.state, record.verdict) == ("done", "pass")


FOLLOWER = """
    import sys, time
    from pathlib import Path
    sys.path.insert(0, {folder!r})
    import recloser_cluster_steps as steps
    from datetime import UTC, datetime
    from recloser.connectors.rest import Rest, RestTarget
    from recloser.core import VirtualClock
    from recloser.engines import RetryPolicy
    from recloser.engines.kubeflow import ClusterEngine, Following, KubeflowApi, KubeflowTarget, TaskPlan
    from recloser.ledger import Ledger
    folder = Path({folder!r})
    ledger = Ledger.open(f"sqlite:///{{folder}}/ledger.db")
    api = KubeflowApi(Rest(RestTarget({url!r}, token_file=folder / "token", timeout_s=60.0)))
    target = KubeflowTarget(str(folder), "recloser_cluster_steps:run_step", "image:1", TaskPlan(retry=RetryPolicy(1)))
    engine = ClusterEngine(ledger, VirtualClock(datetime(2020, 3, 1, 9, tzinfo=UTC)), target, api,
                           Following("grid", folder / "ir", poll_s=0.02))
    engine.run(steps.pipeline(), None, "run-1", "manual", "a test", {{"scale": 3}})
"""


@pytest.mark.chaos
@pytest.mark.parametrize("moment", ["sent", "seen", "between"])
def test_a_follower_that_is_killed_goes_on_where_the_cluster_is(site: Site, moment: str) -> None:
    if moment != "between":
        (site.folder / "hang").touch()
    program = textwrap.dedent(FOLLOWER.format(folder=str(site.folder), url=site.server.url))
    process = subprocess.Popen([sys.executable, "-c", program], env=dict(site.runner.environment))
    try:
        if moment == "sent":
            assert wait_until(lambda: bool(site.server.runs))
        elif moment == "seen":
            assert wait_until(lambda: "step.start" in site.actions())
        else:
            assert wait_until(lambda: site.server.count("POST /apis/v2beta1/experiments") > 0)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    if moment != "between":
        (site.folder / "hang").unlink()
        for control in site.server.controls.values():
            control.stopped.set()  # the pod is lost with its node
        assert wait_until(lambda: all(run["state"] == "CANCELED" for run in site.server.runs))
    assert site.run().verdict == "pass"
    assert site.record().state == "done"
    done = [entry.subject for entry in site.ledger.entries() if entry.action == "step.done"]
    assert done == ["run-1/load_it", "run-1/judge", "run-1/register"]
    json.dumps(site.record().parameters)


def test_the_filter_of_a_list_is_what_the_definition_says(site: Site) -> None:
    import kfp_server_api

    from recloser.testing.apis.definition import mismatches

    site.quick()
    site.run()
    predicate = {"operation": "EQUALS", "key": "display_name", "string_value": "run-1"}
    assert mismatches({"predicates": [predicate]}, "V2beta1Filter", "filter", kfp_server_api) == []


def test_when_is_part_of_a_pipeline() -> None:
    def nothing(_bench: Any, _inputs: Any) -> dict[str, Any]:
        return {}

    first, waiting = Step("first", nothing), Step("second", nothing, ("first",), When("first", "pass"))
    with pytest.raises(InvalidInput, match="may be skipped"):
        Pipeline("p", (first, waiting, Step("third", nothing, ("second",))))
    with pytest.raises(InvalidInput, match="need to wait for"):
        Pipeline("p", (first, Step("second", nothing, (), When("first", "pass"))))
