"""Owns running a Pipeline on a Kubeflow cluster: sent once, followed, mirrored into the ledger, cancelled, resumed.

Does not own the steps: each runs in a pod of the cluster, and records itself in the same ledger.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recloser.core import Clock, InvalidInput, RecloserError, Refused, Unavailable
from recloser.engines.book import ACTOR, RunBook, facts_of, plain_json
from recloser.engines.engine import ProgressListener, RunOutcome, StepProgress
from recloser.engines.kubeflow.api import ClusterRun, KubeflowApi, RunPlace
from recloser.engines.kubeflow.compiling import compile_pipeline, ir_digest, load_ir, task_json
from recloser.engines.kubeflow.mirror import Mirror
from recloser.engines.kubeflow.target import KubeflowTarget
from recloser.ledger import Ledger, RunRecord
from recloser.pipelines import Pipeline

CLUSTER = {"engine": "kubeflow"}
SENDS = 4


@dataclass(frozen=True, slots=True)
class Following:
    """How a run is sent and followed.

    Attributes:
        experiment: its name.
        folder: where the compiled pipeline is written.
        service_account: of the pods; None: the cluster's default.
        poll_s: seconds between two looks.
        patience_s: how long the API may be away.
        timeout_s: longest that a run is followed; 0: without end.
        progress: told of every change of a step's state.
        sleep, monotonic: wait so many seconds, and seconds of a clock that never goes back; injected.
    """

    experiment: str
    folder: Path
    service_account: str | None = None
    poll_s: float = 5.0
    patience_s: float = 900.0
    timeout_s: float = 0.0
    progress: ProgressListener | None = None
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic


class ClusterEngine:
    """Runs pipelines on a Kubeflow cluster; see `Engine` for what it guarantees.

    The run's key is the display name on the cluster, so a process that was killed finds its run again and follows it.
    What is not known is not recorded as failed: when the API stays away, the run stays running, and the same call
    goes on. A failed run is resumed by the cluster's own retry if the compiled pipeline is the same, else sent anew;
    either way a step whose inputs did not change returns its stored result.

    Args:
        ledger: where the run is recorded; the tasks must reach the same one.
        clock: time of the records.
        target: what the tasks are given.
        api: the cluster.
        following: how.
    """

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        target: KubeflowTarget,
        api: KubeflowApi,
        following: Following,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._book = RunBook(ledger, clock)
        self._mirror = Mirror(ledger, clock)
        self._target = target
        self._api = api
        self._following = following

    def run(
        self,
        pipeline: Pipeline,
        bench: Any,  # noqa: ARG002 - part of the protocol; each step's process makes its own
        run_key: str,
        trigger: str,
        reason: str,
        parameters: Mapping[str, Any],
    ) -> RunOutcome:
        """Send the run to the cluster, or find it there, and follow it to its end, as `Engine.run` says.

        Raises:
            Refused: also when the run was cancelled on the cluster, or the API does not let this caller.
            Unavailable: also when the API stays away, or the run takes longer than it is followed.
        """
        plain = {**plain_json(parameters, f"parameters of run {run_key}"), **CLUSTER}
        with self._book.exclusive(run_key):
            run = self._book.open(pipeline, run_key, trigger, reason, plain)
            if run.state == "done":
                return self._book.outcome(run)
            try:
                found = self._sent(pipeline, run)
            except (InvalidInput, Refused) as error:
                self._book.fail(run, error)
                raise
            ended = self._followed(pipeline, run, found.id)
            if ended.state != "SUCCEEDED":
                told = self._error_of(run, ended)
                self._book.fail(run, told)
                raise told
            results = self._mirror.results(pipeline, run)
            self._mirror.record_missing(pipeline, run, results)  # those that were skipped
            return self._book.finish(run, results)

    def cancel(self, pipeline: Pipeline, run_key: str, actor: str, reason: str) -> ClusterRun:
        """Stop a run on the cluster, wait until it has ended, and record that.

        Raises:
            InvalidInput: the cluster has no run of this key, or it has ended.
            Refused, Unavailable: the API does not let this caller, or stays away.
        """
        found = self._api.newest(run_key, self._api.experiment(self._following.experiment))
        record = self._ledger.get(RunRecord, run_key)
        if found is None or record is None or found.ended:
            state = "unknown" if found is None or record is None else found.state
            raise InvalidInput("nothing to cancel", got=state, where=f"run {run_key}", expected="a run under way")
        with self._ledger.change(actor=actor, now=self._clock.now()) as change:
            change.note("run.cancel", subject=run_key, facts={"reason": reason, "kubeflow_run": found.id})
        self._api.terminate(found.id)
        ended = self._followed(pipeline, record, found.id)
        if ended.state != "SUCCEEDED":
            self._book.fail(record, self._error_of(record, ended))
        return ended

    def _sent(self, pipeline: Pipeline, run: RunRecord) -> ClusterRun:
        """Return the run on the cluster: the one that is there, that one tried again, or a new one."""
        following = self._following
        ir = load_ir(compile_pipeline(pipeline, self._target, following.folder / f"{pipeline.name}.yaml"))
        place = RunPlace(self._api.experiment(following.experiment), following.service_account)
        mark = f"recloser {ir_digest(ir)}"
        wait_s = following.poll_s
        for number in range(1, SENDS + 1):
            found = self._api.newest(run.key, place.experiment_id)
            if found is not None and (not found.ended or self._whole(pipeline, run, found)):
                return self._noted(run, found, "run.found")
            if found is not None and found.state == "FAILED" and found.description.endswith(mark):
                try:
                    self._api.retry(found.id)
                    return self._noted(run, found, "run.retried")
                except (InvalidInput, Refused):  # the cluster keeps what a retry needs for some time only
                    pass
            given = {"run_key": run.key, "parameters": task_json(run.parameters)}
            try:
                sent = self._api.submit(run.key, f"{run.reason} | {mark}", ir, given, place)
                return self._noted(run, sent, "run.sent")
            except Unavailable:
                if number == SENDS:
                    raise
                self._following.sleep(wait_s)  # it may have been started: look before it is sent again
                wait_s *= 2
        raise AssertionError("the last try returns or raises")

    def _whole(self, pipeline: Pipeline, run: RunRecord, found: ClusterRun) -> bool:
        """Return whether a run that ended well left all its results in this ledger."""
        if found.state != "SUCCEEDED":
            return False
        try:
            self._mirror.results(pipeline, run)
        except Unavailable:
            return False
        return True

    def _noted(self, run: RunRecord, found: ClusterRun, action: str) -> ClusterRun:
        with self._ledger.change(actor=ACTOR, now=self._clock.now()) as change:
            change.note(action, subject=run.key, facts={"kubeflow_run": found.id, "state": found.state})
        return found

    def _followed(self, pipeline: Pipeline, run: RunRecord, run_id: str) -> ClusterRun:
        """Look at the run until it has ended, and mirror its steps at each look."""
        began = heard = self._following.monotonic()
        told: dict[str, str] = {}
        while True:
            now = self._following.monotonic()
            try:
                seen = self._api.run(run_id)
                heard = now
            except Unavailable as error:
                if now - heard > self._following.patience_s:
                    raise _lost(run, "the API stays away; the run goes on there", error) from error
            else:
                self._mirror.update(pipeline, run, seen.tasks)
                self._tell(pipeline, run, told, now - began)
                if seen.ended:
                    return seen
            if self._following.timeout_s and now - began > self._following.timeout_s:
                raise _lost(run, "the run takes longer than it is followed", None)
            self._following.sleep(self._following.poll_s)

    def _tell(self, pipeline: Pipeline, run: RunRecord, told: dict[str, str], seconds: float) -> None:
        for name, record in self._mirror.known(run.key).items():
            if self._following.progress is not None and told.get(name) != record.state:
                detail = str((record.error or {}).get("what", "")) if record.state == "failed" else ""
                total = len(pipeline.steps)
                self._following.progress(
                    StepProgress(run.key, name, record.position, total, record.state, seconds, detail)
                )
            told[name] = record.state

    def _error_of(self, run: RunRecord, ended: ClusterRun) -> RecloserError:
        if ended.state == "CANCELED":
            return Refused("the run was cancelled on the cluster", where=f"run {run.key}", next_step="Run it again.")
        said = f": {ended.error}" if ended.error else ""
        return self._mirror.error_of(run.key, f"the run ended as {ended.state} on the cluster{said}")


def _lost(run: RunRecord, what: str, error: RecloserError | None) -> Unavailable:
    got = None if error is None else facts_of(error)["what"]
    return Unavailable(what, got=got, where=f"run {run.key}", next_step="Run the same again to go on following it.")
