"""Owns a cluster for tests: an API server, and what KServe and the kubelet do. Every container really runs.

A container sees the folder that its volume's claim names, and answers at one address as long as its object lives.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from recloser.testing.apis.kube_api import KubeServer

PROGRAM = "from recloser.cli.main import run; run()"
LISTENS = re.compile(r" at (http://\S+);")
AGAIN_S = 0.05


@dataclass(slots=True)
class _Pod:
    """One process of a container, and what it has said."""

    spec: Mapping[str, Any]
    port: int
    process: subprocess.Popen[str]
    log: Path
    url: str | None = None
    said: threading.Thread | None = field(default=None)

    @property
    def told(self) -> str:
        """Return the end of what it wrote to stderr."""
        return self.log.read_text(encoding="utf-8", errors="replace").strip()[-300:]


class KServeCluster:
    """A cluster as a context: `server` is its API, InferenceServices of it get processes, addresses and a status.

    Args:
        claims: PersistentVolumeClaim -> folder.
        token: what callers of the API must send, None for none.
    """

    def __init__(self, claims: Mapping[str, Path], token: str | None = None) -> None:
        self.server = KubeServer(token)
        self._claims = dict(claims)
        self._pods: dict[str, _Pod] = {}
        self._ports: dict[str, int] = {}
        self._woken, self._ended = threading.Event(), threading.Event()
        self._scratch = tempfile.TemporaryDirectory(prefix="pods-")
        self._thread = threading.Thread(target=self._run, daemon=True, name="kubelet")

    def __enter__(self) -> Self:
        self.server.changed = lambda _name: self._woken.set()
        self.server.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._woken.set()
        self._thread.join()
        for name in list(self._pods):
            self._end(name)
        self.server.__exit__(kind, error, trace)
        self._scratch.cleanup()

    def pid(self, name: str) -> int | None:
        """Return the process of an InferenceService's pod, None if none runs now."""
        pod = self._pods.get(name)
        return pod.process.pid if pod is not None and pod.process.poll() is None else None

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a pod, as a lost node, a full memory or a hang would."""
        pid = self.pid(name)
        if pid is not None:
            os.kill(pid, number)

    def _run(self) -> None:
        while not self._ended.is_set():
            self._woken.wait(AGAIN_S)
            self._woken.clear()
            objects = self.server.objects()
            for name in set(self._pods) - set(objects):
                self._end(name)
                self._ports.pop(name, None)
            for name, document in objects.items():
                self._tend(name, document)

    def _tend(self, name: str, document: Mapping[str, Any]) -> None:
        predictor = document["spec"].get("predictor", {})
        pod = self._pods.get(name)
        if pod is not None and pod.spec != predictor:
            self._end(name)
            pod = None
        if pod is None and predictor.get("containers"):
            pod = self._pods[name] = self._begin(name, predictor)
        if pod is None:
            return
        if pod.process.poll() is not None:
            why = f"exited with code {pod.process.returncode}: {pod.told}"
            self.server.set_status(name, _status(None, why))
            self._end(name)
            self._pods[name] = self._begin(name, predictor)
        elif pod.url is not None:
            self.server.set_status(name, _status(pod.url, ""))

    def _begin(self, name: str, predictor: Mapping[str, Any]) -> _Pod:
        (container,) = predictor["containers"]
        port = self._ports.setdefault(name, _free_port())
        words = self._words(container, predictor["volumes"], port)
        log = Path(self._scratch.name) / f"{name}.log"
        with log.open("w") as stderr:
            process = subprocess.Popen(  # noqa: S603 - what the manifest says
                [sys.executable, "-c", PROGRAM, *words],
                stdout=subprocess.PIPE,
                stderr=stderr,
                stdin=subprocess.DEVNULL,
                text=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        pod = _Pod(predictor, port, process, log)
        pod.said = threading.Thread(target=self._listen, args=(pod,), daemon=True)
        pod.said.start()
        return pod

    def _listen(self, pod: _Pod) -> None:
        assert pod.process.stdout is not None
        with suppress(ValueError):  # closed while it was read
            for line in pod.process.stdout:
                found = LISTENS.search(line)
                if found is not None:
                    pod.url = found[1]
                    self._woken.set()

    def _words(self, container: Mapping[str, Any], volumes: Any, port: int) -> list[str]:
        """Return the container's arguments with its mounts, its address and its port as they are on this machine."""
        claims = {
            volume["name"]: self._claims[volume["persistentVolumeClaim"]["claimName"]]
            for volume in volumes
            if "persistentVolumeClaim" in volume
        }
        here = {
            mount["mountPath"]: str(claims[mount["name"]] / mount.get("subPath", ""))
            for mount in container["volumeMounts"]
            if mount["name"] in claims
        }
        here |= {"0.0.0.0": "127.0.0.1", str(container["ports"][0]["containerPort"]): str(port)}  # noqa: S104
        return [here.get(word, word) for word in container["args"]]

    def _end(self, name: str) -> None:
        pod = self._pods.pop(name)
        pod.process.kill()
        pod.process.wait()
        if pod.said is not None:
            pod.said.join()
        if pod.process.stdout is not None:
            pod.process.stdout.close()


def _status(url: str | None, why: str) -> dict[str, Any]:
    """Return a status as KServe writes it in Standard mode."""
    state = {"status": "False" if url is None else "True", **({"message": why} if why else {})}
    conditions = [{"type": kind, **state} for kind in ("PredictorReady", "Ready")]
    address = {} if url is None else {"address": {"url": url}}
    return {"conditions": conditions, "deploymentMode": "RawDeployment", **address}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
