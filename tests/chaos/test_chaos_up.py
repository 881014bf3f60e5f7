"""`recloser up`: what dies is restarted, and whichever way the supervisor ends, no process stays behind."""

from __future__ import annotations

import json
import os
import signal
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recloser.cli import main
from recloser.testing.certificates import Authority

pytestmark = [pytest.mark.chaos, pytest.mark.slow]


def processes(running: Any) -> list[int]:
    """Return gateway, controller and console, as far as they run."""
    return [pid for kind in ("gateway", "controller", "recloser.console") for pid in running.pids(kind)]


def test_it_serves_restarts_what_dies_and_leaves_nothing_behind(
    served: Path, up: Callable[..., Any], until: Callable[..., Any], alive: Callable[[int], bool]
) -> None:
    running = up(served)
    areas = json.loads(until(lambda: running.get("/v1/areas"), "the areas"))
    assert "F01" in json.dumps(areas)
    page = until(lambda: running.get(running.console + "/"), "the console")
    assert "F01" in page
    data = json.loads(until(lambda: running.get(running.console + "/overview.json"), "the console's data"))
    assert [row["area"] for row in data["areas"]] == ["F01", "F02"]
    forecast = json.loads(until(lambda: running.get("/v1/areas/F01/forecast"), "the controller to issue"))
    assert len(forecast["points"]) in {23, 24, 25}

    (first,) = running.pids("gateway")
    os.kill(first, signal.SIGKILL)
    until(lambda: running.pids("gateway") not in ([], [first]), "a new gateway")
    until(lambda: running.get("/v2/health/live"), "the new gateway to answer")
    again = json.loads(until(lambda: running.get("/v1/areas/F01/forecast"), "a forecast"))
    assert again["points"] == forecast["points"]  # from the ledger, so the death of a gateway changes nothing

    left = processes(running)
    assert len(left) == 3
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(timeout=240) == 0
    assert [pid for pid in left if alive(pid)] == []
    assert running.get("/v2/health/live") is None


def test_without_their_supervisor_the_processes_end_by_themselves(
    served: Path, up: Callable[..., Any], until: Callable[..., Any], alive: Callable[[int], bool]
) -> None:
    running = up(served)
    left = until(lambda: len(processes(running)) == 3 and processes(running), "three processes")
    running.process.kill()
    running.process.wait()
    until(lambda: not any(alive(pid) for pid in left), "the children to end")
    assert main(["audit", "verify", "--project", str(served)]) == 0


def test_with_mutual_tls_only_callers_with_a_certificate_get_an_answer(
    served: Path, tmp_path: Path, up: Callable[..., Any], until: Callable[..., Any]
) -> None:
    ours, others = Authority(tmp_path, "ours"), Authority(tmp_path, "others")
    certificate, key = ours.issue("host")
    with (served / "recloser.toml").open("a", encoding="utf-8") as file:
        files = {"certificate": certificate, "key": key, "client_ca": ours.path}
        file.write("\n[gateway.tls]\n" + "".join(f'{name} = "{path}"\n' for name, path in files.items()))

    def caller(authority: Authority | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(ours.path))
        if authority is not None:
            context.load_cert_chain(*authority.issue("caller"))
        return context

    known = caller(ours)
    running = up(served, known)
    assert running.gateway.startswith("https://")
    until(lambda: running.get("/v2/health/live"), "the gateway")
    assert running.ask("/v1/areas", tls=caller(None)) == (0, "")
    assert running.ask("/v1/areas", tls=caller(others)) == (0, "")
    assert running.ask(running.gateway.replace("https", "http") + "/v1/areas")[0] == 0
    (gateway,) = running.pids("gateway")
    os.kill(gateway, signal.SIGKILL)
    until(lambda: running.pids("gateway") not in ([], [gateway]), "a new gateway")
    until(lambda: running.get("/v1/areas"), "the new gateway, by TLS again")
    assert running.ask("/v1/areas", tls=caller(None)) == (0, "")
