"""Two gateway workers on one port: they agree on the route, and the death of one is not noticed by new callers."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recloser.app.processes.reports import read_reports, settled

pytestmark = [pytest.mark.chaos, pytest.mark.slow]


def several(folder: Path, workers: int = 2) -> Path:
    """Let the project have so many gateway workers."""
    with (folder / "recloser.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n[gateway]\nworkers = {workers}\n")
    return folder


def numbers(text: str) -> dict[tuple[str, ...], float]:
    """Return every sample of a metrics page as an independent parser reads it, without the gauges."""
    parser = pytest.importorskip("prometheus_client.parser", reason="prometheus_client is not installed")
    return {
        (sample.name, *sorted(f"{name}={label}" for name, label in sample.labels.items())): sample.value
        for metric in parser.text_string_to_metric_families(text)
        for sample in metric.samples
        if metric.type != "gauge"
    }


def test_two_workers_agree_and_one_may_die(served: Path, up: Callable[..., Any], until: Callable[..., Any]) -> None:
    running, state = up(several(served)), served / "state"
    reports = until(lambda: len(read_reports(state)) == 2 and read_reports(state), "two workers")
    told = running.route()
    epoch = told["epoch"]
    assert epoch > 0
    assert settled(reports, epoch)
    assert [(worker["worker"], worker["epoch"]) for worker in told["workers"]] == [("1", epoch), ("2", epoch)]
    first = reports[0].pid
    os.kill(first, signal.SIGKILL)
    for _ in range(50):
        assert json.loads(running.get("/v2/health/live")) == {"live": True}
    until(
        lambda: len(read_reports(state)) == 2 and first not in {report.pid for report in read_reports(state)},
        "a new worker",
    )
    assert settled(read_reports(state), epoch)


def test_any_worker_tells_the_figures_of_all_and_they_never_go_backwards(
    served: Path, up: Callable[..., Any], until: Callable[..., Any], request_body: dict[str, Any]
) -> None:
    running, state = up(several(served)), served / "state"

    def workers() -> set[str]:
        page = numbers(running.get("/metrics") or "")
        return {label for name in page for label in name if label.startswith("worker=")}

    until(lambda: workers() == {"worker=1", "worker=2"}, "two workers")

    def asked() -> int:
        (stats,) = json.loads(running.get("/v2/models/forecast/stats"))["model_stats"]
        return int(stats["inference_stats"]["success"]["count"])

    def counted(what: str, page: dict[tuple[str, ...], float]) -> float:
        return sum(number for name, number in page.items() if name[0] == what)

    highest: dict[tuple[str, ...], float] = {}
    for round_ in range(1, 4):
        for _ in range(20):
            status, text = running.ask("/invocations", request_body)
            assert status == 200, text
        until(lambda total=20 * round_: asked() == total, "every worker's requests in any worker's answer")
        page = numbers(running.get("/metrics"))
        assert workers() == {"worker=1", "worker=2"}  # of the one that was killed too
        assert counted("recloser_inference_requests_total", page) >= 20 * round_
        for _ in range(6):  # whichever worker answers
            page = numbers(running.get("/metrics"))
            assert [name for name, number in highest.items() if page[name] < number] == []
            highest |= page
        victim = read_reports(state)[round_ % 2].pid
        os.kill(victim, signal.SIGKILL)
        until(
            lambda gone=victim: len(found := read_reports(state)) == 2 and gone not in {one.pid for one in found},
            "a new worker",
        )
    page = numbers(running.get("/metrics"))
    assert [name for name, number in highest.items() if page[name] < number] == []
