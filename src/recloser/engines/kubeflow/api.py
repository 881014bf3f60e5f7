"""Owns what is asked of the API of Kubeflow Pipelines (v2beta1) and how its answers read. Decides nothing.

The fields are those of the API's OpenAPI definition; a test checks every request against it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from recloser.connectors.rest import Rest
from recloser.core import RecloserError, Refused, Unavailable, canonical_json, parse_utc
from recloser.engines.kubeflow.mirror import ENDED, TaskState

RUNS = "/apis/v2beta1/runs"
RECURRING = "/apis/v2beta1/recurringruns"
EXPERIMENTS = "/apis/v2beta1/experiments"
PAGE = 100


@dataclass(frozen=True, slots=True)
class ClusterRun:
    """A run as the cluster tells of it.

    Attributes:
        id: the cluster's own.
        name: its display name, which is our run's key.
        state: PENDING, RUNNING, SUCCEEDED, SKIPPED, FAILED, CANCELING, CANCELED, PAUSED.
        description: ends with the digest of the pipeline that was sent.
        error: what the cluster says of a failure, else empty.
        tasks: in the order in which they began.
    """

    id: str
    name: str
    state: str
    description: str
    error: str
    tasks: tuple[TaskState, ...]

    @property
    def ended(self) -> bool:
        """Return whether the cluster does nothing more for it."""
        return self.state in ENDED


class KubeflowApi:
    """The calls that are used; thread safe.

    Args:
        rest: the server.
        namespace: of a multi-user installation, None for one of a single user.
    """

    def __init__(self, rest: Rest, namespace: str | None = None) -> None:
        self._rest = rest
        self._namespace = namespace

    def experiment(self, name: str) -> str:
        """Return the id of the experiment of this name, made if there is none.

        Raises:
            InvalidInput, Refused, Unavailable: as `Rest.call`.
        """
        found = self._experiment(name)
        if found is not None:
            return found
        try:
            body = {"display_name": name, **self._where()}
            return _id_of(self._rest.call("POST", EXPERIMENTS, body=body).document, "experiment_id")
        except Refused:
            found = self._experiment(name)  # somebody else made it at the same moment
            if found is None:
                raise
            return found

    def submit(
        self, name: str, description: str, ir: Mapping[str, Any], parameters: Mapping[str, Any], place: RunPlace
    ) -> ClusterRun:
        """Start a run; asked twice, the cluster starts two.

        Raises:
            InvalidInput, Refused, Unavailable: as `Rest.call`; after Unavailable it may have been started.
        """
        body = {
            "display_name": name,
            "description": description,
            "experiment_id": place.experiment_id,
            "pipeline_spec": dict(ir),
            "runtime_config": {"parameters": dict(parameters)},
        }
        if place.service_account is not None:
            body["service_account"] = place.service_account
        return read_run(self._rest.call("POST", RUNS, body=body).document)

    def run(self, run_id: str) -> ClusterRun:
        """Return a run with its tasks.

        Raises:
            InvalidInput: the cluster does not know it.
            Refused, Unavailable: as `Rest.call`.
        """
        return read_run(self._rest.call("GET", f"{RUNS}/{run_id}").document)

    def newest(self, name: str, experiment_id: str) -> ClusterRun | None:
        """Return the newest run of this name, None if there is none.

        Raises:
            InvalidInput, Refused, Unavailable: as `Rest.call`.
        """
        query = {
            "experiment_id": experiment_id,
            "filter": _named(name),
            "sort_by": "created_at desc",
            "page_size": PAGE,
        }
        for document in self._rest.pages(RUNS, query, "runs"):
            if document.get("display_name") == name:
                return self.run(_id_of(document, "run_id"))
        return None

    def retry(self, run_id: str) -> None:
        """Start the failed tasks of a run again.

        Raises:
            InvalidInput, Refused, Unavailable: as `Rest.call`; the run is not a failed one.
        """
        self._rest.call("POST", f"{RUNS}/{run_id}:retry")

    def terminate(self, run_id: str) -> None:
        """Stop a run; it takes a while until it has ended.

        Raises:
            InvalidInput, Refused, Unavailable: as `Rest.call`; the run has ended.
        """
        self._rest.call("POST", f"{RUNS}/{run_id}:terminate")

    def create_recurring(self, name: str, cron: str, ir: Mapping[str, Any], place: RunPlace) -> dict[str, Any]:
        """Let the cluster start a run at each time of the schedule, one at a time, none for missed times.

        Args:
            name: what it is called.
            cron: six fields, seconds first, in UTC, as the API takes them.
            ir: the compiled pipeline; its inputs keep their defaults.
            place: where the runs belong.

        Raises:
            InvalidInput, Refused, Unavailable: as `Rest.call`.
        """
        body = {
            "display_name": name,
            "experiment_id": place.experiment_id,
            "pipeline_spec": dict(ir),
            "runtime_config": {"parameters": {}},
            "trigger": {"cron_schedule": {"cron": cron}},
            "max_concurrency": "1",  # a text: that is how the definition has 64-bit integers
            "mode": "ENABLE",
            "no_catchup": True,
            **self._where(),
        }
        if place.service_account is not None:
            body["service_account"] = place.service_account
        return self._rest.call("POST", RECURRING, body=body).document

    def recurring(self, experiment_id: str) -> Iterator[dict[str, Any]]:
        """Yield the recurring runs of an experiment.

        Raises:
            InvalidInput, Refused, Unavailable: as `Rest.call`.
        """
        return self._rest.pages(RECURRING, {"experiment_id": experiment_id, "page_size": PAGE}, "recurringRuns")

    def change_recurring(self, recurring_id: str, change: str) -> None:
        """Enable, disable or delete a recurring run.

        Raises:
            InvalidInput: the cluster does not know it.
            Refused, Unavailable: as `Rest.call`.
        """
        if change == "delete":
            self._rest.call("DELETE", f"{RECURRING}/{recurring_id}")
        else:
            self._rest.call("POST", f"{RECURRING}/{recurring_id}:{change}")

    def _experiment(self, name: str) -> str | None:
        query = {"filter": _named(name), "page_size": PAGE, **self._where()}
        for document in self._rest.pages(EXPERIMENTS, query, "experiments"):
            if document.get("display_name") == name:
                return _id_of(document, "experiment_id")
        return None

    def _where(self) -> dict[str, str]:
        return {} if self._namespace is None else {"namespace": self._namespace}


@dataclass(frozen=True, slots=True)
class RunPlace:
    """Where runs belong: the experiment's id, and the service account of their pods (None: the cluster's default)."""

    experiment_id: str
    service_account: str | None = None


def read_run(document: Mapping[str, Any]) -> ClusterRun:
    """Return a run of the API's JSON.

    Raises:
        Unavailable: it is not one.
    """
    run_id = _id_of(document, "run_id")
    details = document.get("run_details")
    listed = details.get("task_details") if isinstance(details, Mapping) else None
    tasks = [_task(task) for task in (listed if isinstance(listed, list) else ()) if isinstance(task, Mapping)]
    far = max((task.began_at for task in tasks if task.began_at is not None), default=None)
    tasks.sort(key=lambda task: (task.began_at is None, task.began_at or far))
    return ClusterRun(
        id=run_id,
        name=str(document.get("display_name", "")),
        state=str(document.get("state") or "PENDING"),
        description=str(document.get("description") or ""),
        error=_message(document.get("error")),
        tasks=tuple(tasks),
    )


def _id_of(document: Mapping[str, Any], name: str) -> str:
    found = document.get(name)
    if not isinstance(found, str) or not found:
        raise Unavailable(
            f"the API answered something without {name}",
            got=str(dict(document))[:200],
            where="Kubeflow's answer",
            next_step="Check [kubeflow] url, then try again.",
        )
    return found


def _task(document: Mapping[str, Any]) -> TaskState:
    return TaskState(
        name=str(document.get("display_name", "")),
        state=str(document.get("state") or "PENDING"),
        began_at=_time(document.get("start_time")),
        ended_at=_time(document.get("end_time")),
        error=_message(document.get("error")),
    )


def _time(text: Any) -> datetime | None:
    """Return a time of the API; its zero times mean that there is none yet."""
    if not text or str(text).startswith(("0001-", "1970-01-01T00:00:00")):
        return None
    try:
        return parse_utc(str(text), "Kubeflow's answer")
    except RecloserError:
        return None  # a time is only told; no decision hangs on it


def _message(error: Any) -> str:
    return str(error.get("message") or error.get("code") or "") if isinstance(error, Mapping) else ""


def _named(name: str) -> str:
    predicate = {"operation": "EQUALS", "key": "display_name", "string_value": name}
    return canonical_json({"predicates": [predicate]}).decode()
