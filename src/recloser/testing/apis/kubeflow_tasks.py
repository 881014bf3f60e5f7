"""Owns running compiled pipelines (KFP v2 IR) in subprocesses: conditions, loops, retries, as a cluster would.

It runs each task's own command with the executor input that a cluster gives; no container, no cache, no artifacts.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recloser.testing.apis.kubeflow_api import Control

CONDITION = re.compile(r"inputs\.parameter_values\['([^']+)'\]\s*==\s*'([^']*)'")
SELECTOR = re.compile(r'parseJson\(string_value\)\["([^"]+)"\]')


@dataclass(slots=True)
class TaskRunner:
    """Runs pipelines below a folder.

    Attributes:
        folder: of the tasks' files.
        environment: of the tasks' processes.
        ran: names of the tasks that were started, in order, one for each try.
    """

    folder: Path
    environment: Mapping[str, str]
    ran: list[str] = field(default_factory=list)

    def execute(self, ir: Mapping[str, Any], arguments: dict[str, Any], job: str, control: Control) -> bool:
        """Run a pipeline; see `kubeflow_api.Execute`."""
        spec = ir.get("pipeline_spec", ir)
        root = spec["root"]
        given = {
            name: arguments.get(name, definition.get("defaultValue"))
            for name, definition in root["inputDefinitions"]["parameters"].items()
        }
        return self._dag(spec, root["dag"], given, job, control)

    def _dag(
        self, spec: Mapping[str, Any], dag: Mapping[str, Any], given: dict[str, Any], job: str, control: Control
    ) -> bool:
        outputs: dict[str, dict[str, Any]] = {}
        for name in _in_order(dag["tasks"]):
            task = dag["tasks"][name]
            if control.stopped.is_set():
                return False
            inputs = {key: _value(source, given, outputs) for key, source in task["inputs"]["parameters"].items()}
            condition = CONDITION.fullmatch(" ".join(task.get("triggerPolicy", {}).get("condition", "").split()))
            if condition is not None and inputs[condition[1]] != condition[2]:
                control.tell(name, "SKIPPED")
                continue
            component = spec["components"][task["componentRef"]["name"]]
            if "dag" in component:
                well = all(
                    self._dag(spec, component["dag"], {**inputs, **item}, job, control) for item in _items(task, inputs)
                )
                control.tell(name, "SUCCEEDED" if well else "FAILED")
            else:
                made = self._task(spec, name, task, inputs, (job, control))
                well, outputs[name] = made is not None, made or {}
            if not well:
                return False
        return True

    def _task(
        self,
        spec: Mapping[str, Any],
        name: str,
        task: Mapping[str, Any],
        inputs: dict[str, Any],
        around: tuple[str, Control],
    ) -> dict[str, Any] | None:
        job, control = around
        component = spec["components"][task["componentRef"]["name"]]
        for key, definition in component["inputDefinitions"]["parameters"].items():
            inputs.setdefault(key, definition.get("defaultValue"))
            if definition["parameterType"] == "NUMBER_INTEGER":
                inputs[key] = int(inputs[key])
        inputs = {key: job if item == "{{$.pipeline_job_uuid}}" else item for key, item in inputs.items()}
        said = ""
        for _ in range(1 + int(task.get("retryPolicy", {}).get("maxRetryCount", 0))):
            control.tell(name, "RUNNING")
            self.ran.append(name)
            folder = self.folder / f"{job}-{len(self.ran)}"
            folder.mkdir(parents=True)
            container = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
            code, said = self._process(container, _executor_input(component, inputs, folder), control)
            if control.stopped.is_set():
                control.tell(name, "CANCELED")
                return None
            if code == 0:
                control.tell(name, "SUCCEEDED")
                made: dict[str, Any] = json.loads((folder / "executor_output.json").read_text())["parameterValues"]
                return made
        control.tell(name, "FAILED", said)
        return None

    def _process(self, container: Mapping[str, Any], given: str, control: Control) -> tuple[int, str]:
        words = [*container["command"], *container.get("args", ())]
        words = [given if word == "{{$}}" else word for word in words]
        python = str(Path(sys.executable).parent)
        environment = {**self.environment, "PATH": f"{python}:{self.environment.get('PATH', '')}"}
        log = self.folder / f"log-{len(self.ran)}"
        with log.open("wb") as file:
            process = subprocess.Popen(words, env=environment, stdout=file, stderr=file)  # noqa: S603 - of the IR
            while process.poll() is None:
                if control.stopped.wait(0.02):
                    process.kill()
            code = process.wait()
        return code, log.read_text(encoding="utf-8", errors="replace")[-300:]


def _in_order(tasks: Mapping[str, Any]) -> Iterator[str]:
    left, done = list(tasks), set[str]()
    while left:
        ready = next(name for name in left if set(tasks[name].get("dependentTasks", ())) <= done)
        left.remove(ready)
        done.add(ready)
        yield ready


def _value(source: Mapping[str, Any], given: Mapping[str, Any], outputs: Mapping[str, Mapping[str, Any]]) -> Any:
    if "runtimeValue" in source:
        return source["runtimeValue"]["constant"]
    if "taskOutputParameter" in source:
        wanted = source["taskOutputParameter"]
        return outputs[wanted["producerTask"]][wanted["outputParameterKey"]]
    item = given[source["componentInputParameter"]]
    selector = SELECTOR.fullmatch(source.get("parameterExpressionSelector", ""))
    return item if selector is None else item[selector[1]]


def _items(task: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    iterator = task.get("parameterIterator")
    if iterator is None:
        return [{}]
    return [{iterator["itemInput"]: item} for item in inputs[iterator["items"]["inputParameter"]]]


def _executor_input(component: Mapping[str, Any], inputs: Mapping[str, Any], folder: Path) -> str:
    outputs = {key: {"outputFile": str(folder / key)} for key in component["outputDefinitions"]["parameters"]}
    return json.dumps(
        {
            "inputs": {"parameterValues": dict(inputs)},
            "outputs": {"parameters": outputs, "outputFile": str(folder / "executor_output.json")},
        }
    )
