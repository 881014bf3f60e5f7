"""A canary that turns bad in a real `up`: cut off by the gateway alone, for good, and rolled back with its reason."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from recloser.app import Platform
from recloser.app.processes.cuts import read_cuts
from recloser.app.processes.reports import read_reports
from recloser.cli import main
from recloser.ledger import ReleaseRecord, RolloutRecord, RouteRecord, TripRecord
from recloser.rollout import Rollout, RolloutState
from recloser.testing.puppets import puppet_release, put_on_trial

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
LEASE = timedelta(minutes=30)


@pytest.fixture
def strings(tmp_path: Path) -> Path:
    path = tmp_path / "strings"
    path.write_text("honest")
    return path


def answer_of(running: Any, body: Any) -> list[dict[str, Any]]:
    """Return one answer row by row; whatever the models do, it is there and its numbers are in order."""
    status, text = running.ask("/invocations", body)
    assert status == 200, text
    rows = [dict(row) for row in json.loads(text)["predictions"]]
    assert all(0.0 <= row["q10"] <= row["q50"] <= row["q90"] for row in rows)
    return rows


def served_by(running: Any, body: Any) -> set[str]:
    return {row["served_by"] for row in answer_of(running, body)}


def epochs(served: Path) -> list[int]:
    return [report.epoch for report in read_reports(served / "state")]


def assert_tripped_for_its_own_failures(platform: Platform, trial: Rollout) -> None:
    (tripped,) = platform.ledger.find(TripRecord)
    assert (tripped.release, tripped.tier) == (trial.release, "T0")
    (entry,) = [entry for entry in platform.ledger.entries() if entry.action == "rollout.trip"]
    assert "cut it off: 3 failed answers" in entry.facts["reason"]
    assert "not finite" in entry.facts["reason"]
    assert len(entry.facts["numbers"]["failures"]) == 3
    assert all(failure.endswith("not finite") for failure in entry.facts["numbers"]["failures"])
    ended = platform.ledger.get(RolloutRecord, trial.key)
    assert ended is not None
    assert ended.state == "tripped"


def test_a_bad_canary_is_cut_off_durably_and_rolled_back_with_its_reason(
    served: Path, platform: Platform, strings: Path, up: Callable[..., Any], until: Any, request_body: dict[str, Any]
) -> None:
    with (served / "recloser.toml").open("a", encoding="utf-8") as file:
        file.write("\n[gateway]\nworkers = 2\n")
    release = puppet_release(platform, strings)
    trial = put_on_trial(platform, release, RolloutState.CANARY, lease_until=platform.clock.now() + LEASE)
    route = platform.ledger.get(RouteRecord, "route")
    assert route is not None
    running = up(served)
    until(lambda: epochs(served) == [route.epoch] * 2, "both workers to follow the canary")
    until(lambda: served_by(running, request_body) == {"canary"}, "the canary to answer")
    (controller,) = running.pids("controller")
    os.kill(controller, signal.SIGSTOP)  # what follows is the gateway's alone

    strings.write_text("nan")
    while not read_cuts(served / "state", route.epoch):
        assert "canary" not in served_by(running, request_body)
    before = running.pids("gateway")
    for worker in before:  # right after the trip
        os.kill(worker, signal.SIGKILL)
    strings.write_text("honest")

    def anew() -> bool:
        pids = {report.pid for report in read_reports(served / "state")}
        return len(pids - {*before}) == 2 and epochs(served) == [route.epoch] * 2

    until(anew, "new workers that follow the canary's route")
    until(lambda: running.get("/v2/health/live"), "the new workers to answer")
    for _ in range(20):
        for row in answer_of(running, request_body):
            assert (row["served_by"], row["reason"]) == ("champion", f"canary {release} tripped")
    (first, *_) = running.route()["workers"]
    assert first["tripped"] == [release]

    os.kill(controller, signal.SIGCONT)
    until(lambda: platform.ledger.find(TripRecord), "the trip in the ledger")
    assert_tripped_for_its_own_failures(platform, trial)
    now = platform.ledger.get(RouteRecord, "route")
    assert now is not None
    assert (now.champion, now.canary) == (route.champion, None)
    until(lambda: epochs(served) == [now.epoch] * 2, "both workers to follow the rollback")
    assert served_by(running, request_body) == {"champion"}
    assert main(["audit", "verify", "--project", str(served)]) == 0


def test_the_processes_of_foreign_models_end_with_those_they_answer(
    served: Path, platform: Platform, strings: Path, up: Callable[..., Any], until: Any, alive: Callable[[int], bool]
) -> None:
    release = puppet_release(platform, strings)
    put_on_trial(platform, release, RolloutState.CANARY, lease_until=platform.clock.now() + LEASE)
    running = up(served)
    until(lambda: running.route()["canary"] == release, "the canary")
    models = until(lambda: running.pids("recloser.serving.foreign"), "its process")
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(timeout=240) == 0
    assert [pid for pid in {*models, *running.seen} if alive(pid)] == []

    strings.write_text("hang")
    hanging = up(served)
    until(lambda: hanging.get("/v1/areas"), "the gateway, which serves the champion")
    assert hanging.route()["canary"] is None
    (gateway,) = hanging.pids("gateway")
    models = until(lambda: hanging.below(gateway), "a process that hangs while it loads")
    os.kill(gateway, signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in models), "its end with the gateway")
    hanging.pids("controller")
    hanging.process.kill()
    until(lambda: not any(alive(pid) for pid in hanging.seen), "every process to end")


def test_routes_swapped_under_load_lose_no_request(
    served: Path, platform: Platform, up: Callable[..., Any], until: Any, request_body: dict[str, Any]
) -> None:
    champion = platform.champion()
    assert champion is not None
    earlier = (platform.clock.now() - timedelta(days=1)).strftime("%Y-%m-%dT%H:00:00Z")
    main(["run", "--project", str(served), "--as-of", earlier])
    names = sorted(record.key for record in platform.ledger.find(ReleaseRecord))
    assert len(names) == 2
    running = up(served)
    until(lambda: running.get("/v1/areas"), "the gateway")
    os.kill(running.pids("controller")[0], signal.SIGSTOP)
    seen: Counter[tuple[str, str]] = Counter()
    failures: list[str] = []
    ended = threading.Event()

    def load() -> None:
        while not ended.is_set():
            try:
                for row in answer_of(running, request_body):
                    seen[row["served_by"], row["release"]] += 1
            except AssertionError as error:
                failures.append(str(error))

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for swap in range(10):
            now = platform.ledger.get(RouteRecord, "route")
            assert now is not None
            wanted = replace(now, epoch=now.epoch + 1, champion=names[swap % 2], canary=None, shadow=None, share=0.0)
            with platform.ledger.change("test", platform.clock.now()) as change:
                change.put(wanted)
                change.note("test", "route", {"epoch": wanted.epoch})
            begun = time.monotonic()
            until(lambda epoch=wanted.epoch: running.route()["epoch"] == epoch, "the swap")
            until(lambda begun=begun: time.monotonic() - begun > 1.0, "some requests by this route")
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert {key for key in seen if key[0] == "champion"} == {("champion", name) for name in names}
    assert not [key for key in seen if key[0] != "champion"]
