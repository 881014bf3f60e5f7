"""Owns a Kubeflow Pipelines server for tests: the v2beta1 API over HTTP, every request checked, runs really run."""

from __future__ import annotations

import base64
import itertools
import json
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from recloser.testing.apis.http_api import HttpApi, Reply
from recloser.testing.apis.kubeflow_definition import operation_of, problems

ENDED = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")
LISTS = {"runs": "runs", "recurringruns": "recurringRuns", "experiments": "experiments"}
IDS = {"runs": "run_id", "recurringruns": "recurring_run_id", "experiments": "experiment_id"}

Execute = Callable[[Mapping[str, Any], dict[str, Any], str, "Control"], bool]
"""Runs a compiled pipeline (IR, arguments, job's id, control); returns whether it ended well."""


class Control:
    """What a run's execution tells and asks: states of tasks, and whether it was stopped."""

    def __init__(self, run: dict[str, Any], lock: threading.Lock) -> None:
        self._run, self._lock = run, lock
        self.stopped = threading.Event()

    def tell(self, task: str, state: str, error: str = "") -> None:
        """Set the state of a task, which is made when it is new."""
        with self._lock:
            details = self._run["run_details"]["task_details"]
            found = next((item for item in details if item["display_name"] == task), None)
            if found is None:
                found = {"run_id": self._run["run_id"], "task_id": f"task-{len(details)}", "display_name": task}
                details.append(found | {"start_time": _now()})
                found = details[-1]
            found["state"] = state
            found.pop("error", None)
            if state in ENDED:
                found["end_time"] = _now()
            if error:
                found["error"] = {"code": 13, "message": error}

    def states(self) -> dict[str, str]:
        """Return the states of the tasks."""
        with self._lock:
            return {task["display_name"]: task["state"] for task in self._run["run_details"]["task_details"]}


class KubeflowServer(HttpApi):
    """A server with experiments, runs and recurring runs.

    A request that the definition does not allow is answered 400 and kept in `complaints`.

    Args:
        execute: runs what is submitted, on a thread of its own.
        token: what callers must send, None for none.
        page: most items of one page, whatever was asked for.
    """

    def __init__(self, execute: Execute, token: str | None = None, page: int = 2) -> None:
        super().__init__(self._dispatch, token)
        self._execute = execute
        self._page = page
        self._state = threading.Lock()
        self._numbers = itertools.count(1)
        self.items: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in LISTS}
        self.controls: dict[str, Control] = {}
        self.complaints: list[str] = []

    @property
    def runs(self) -> list[dict[str, Any]]:
        """Return all runs, in the order in which they came."""
        with self._state:
            return [dict(run) for run in self.items["runs"].values()]

    def fire(self, recurring_id: str) -> str:
        """Start a run of a recurring run as its schedule would; return the run's id."""
        recurring = self.items["recurringruns"][recurring_id]
        body = {name: recurring[name] for name in ("experiment_id", "pipeline_spec", "runtime_config")}
        made = self._create_run({**body, "display_name": f"{recurring['display_name']}-1"})
        return str(made.document["run_id"])

    def _dispatch(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: dict[str, Any] | None,
        headers: Mapping[str, str],  # noqa: ARG002 - the same for all servers
    ) -> Reply:
        found = operation_of(method, path)
        if found is None:
            return Reply(404, {"code": 5, "message": "Not Found"})
        operation, given = found
        wrong = problems(operation, query, body)
        if wrong:
            self.complaints += wrong
            return Reply(400, {"code": 3, "message": "; ".join(wrong)})
        kind = path.split("/")[3]
        if not given:
            return self._list(kind, query) if method == "GET" else self._create(kind, body or {})
        identity = next(iter(given.values()))
        if identity not in self.items[kind]:
            return Reply(404, {"code": 5, "message": f"{kind} {identity} not found"})
        return self._on_one(kind, identity, method, path.rpartition(":")[2])

    def _list(self, kind: str, query: Mapping[str, str]) -> Reply:
        with self._state:
            found = [dict(item) for item in self.items[kind].values()]
        for predicate in json.loads(query.get("filter") or "{}").get("predicates", ()):
            if predicate["operation"] != "EQUALS":
                return Reply(400, {"code": 3, "message": "only EQUALS is known here"})
            found = [item for item in found if item.get(predicate["key"]) == predicate["string_value"]]
        if query.get("experiment_id"):
            found = [item for item in found if item.get("experiment_id") == query["experiment_id"]]
        if query.get("sort_by"):
            name, _, way = query["sort_by"].partition(" ")
            found.sort(key=lambda item: str(item.get(name)), reverse=way == "desc")
        try:
            start = int(base64.b64decode(query.get("page_token") or "MA==").decode())
        except ValueError:
            return Reply(400, {"code": 3, "message": "invalid page token"})
        end = start + min(self._page, int(query.get("page_size") or self._page))
        document: dict[str, Any] = {LISTS[kind]: found[start:end], "total_size": len(found)}
        if end < len(found):
            document["next_page_token"] = base64.b64encode(str(end).encode()).decode()
        return Reply(200, document)

    def _create(self, kind: str, body: dict[str, Any]) -> Reply:
        if kind == "runs":
            return self._create_run(body)
        if kind == "recurringruns":
            cron = body.get("trigger", {}).get("cron_schedule", {}).get("cron", "")
            if len(cron.split()) != 6 or not 1 <= int(body.get("max_concurrency", "0")) <= 10:
                return Reply(400, {"code": 3, "message": "invalid schedule or concurrency"})
            return self._add(kind, {**body, "status": "ENABLED"})
        named = [item["display_name"] for item in self.items[kind].values()]
        if body["display_name"] in named:
            return Reply(409, {"code": 6, "message": "the experiment already exists"})
        return self._add(kind, body)

    def _add(self, kind: str, body: dict[str, Any]) -> Reply:
        with self._state:
            identity = f"{kind}-{next(self._numbers)}"
            document = {**body, IDS[kind]: identity, "created_at": _now()}
            self.items[kind][identity] = document
            return Reply(200, dict(document))

    def _create_run(self, body: dict[str, Any]) -> Reply:
        if body.get("experiment_id") not in self.items["experiments"]:
            return Reply(404, {"code": 5, "message": "no such experiment"})
        reply = self._add("runs", {**body, "state": "PENDING", "run_details": {"task_details": []}})
        self._start(str(reply.document["run_id"]))
        return reply

    def _start(self, identity: str) -> None:
        run = self.items["runs"][identity]
        control = self.controls[identity] = Control(run, self._state)
        ir = run["pipeline_spec"]
        given = dict(run.get("runtime_config", {}).get("parameters") or {})

        def work() -> None:
            run["state"] = "RUNNING"
            run.pop("error", None)
            try:
                well = self._execute(ir, given, identity, control)
            except Exception as error:  # noqa: BLE001 - the outermost loop of the run's thread: told as the run's error
                run["error"] = {"code": 13, "message": f"the test's cluster failed: {error!r}"}
                run["state"] = "FAILED"
                return
            if control.stopped.is_set():
                run["state"] = "CANCELED"
            elif not well:
                run["error"] = {"code": 13, "message": "a task failed"}
                run["state"] = "FAILED"
            else:
                run["state"] = "SUCCEEDED"

        threading.Thread(target=work, daemon=True).start()

    def _on_one(self, kind: str, identity: str, method: str, verb: str) -> Reply:
        item = self.items[kind][identity]
        if method == "DELETE":
            del self.items[kind][identity]
            return Reply(200)
        if method == "GET":
            with self._state:
                return Reply(200, json.loads(json.dumps(item)))
        if kind == "recurringruns":
            item["status"] = {"enable": "ENABLED", "disable": "DISABLED"}[verb]
            return Reply(200)
        if (verb == "retry") != (item["state"] == "FAILED") or item["state"] in {"SUCCEEDED", "CANCELED"}:
            return Reply(400, {"code": 9, "message": f"the run is {item['state']}"})
        if verb == "retry":
            self._start(identity)
        else:
            item["state"] = "CANCELING"
            self.controls[identity].stopped.set()
        return Reply(200)


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
