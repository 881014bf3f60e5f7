"""A real `up` whose releases run under KServe, while pods, the controller and the control plane go away."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import pytest

from recloser.app import Platform
from recloser.cli import main
from recloser.ledger import RolloutRecord, RouteRecord, StateRecord
from recloser.rollout import Rollout, RolloutPlan, RolloutState, new_rollout
from recloser.testing.apis.kserve_cluster import KServeCluster
from recloser.testing.puppets import puppet_release, put_on_trial

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
LEASE = timedelta(minutes=30)
LOG = logging.getLogger(__name__)
TABLE = """
[kserve]
url = "{url}"
token_file = "token"
name = "mygrid"
patience_ms = 20000

[gateway]
workers = 2
"""


@pytest.fixture
def cluster(served: Path) -> Iterator[KServeCluster]:
    with KServeCluster({"recloser-project": served}, token="secret") as running:
        (served / "token").write_text("secret")
        with (served / "recloser.toml").open("a", encoding="utf-8") as file:
            file.write(TABLE.format(url=running.server.url))
        yield running


@dataclass
class Asking:
    """Asks one row of each area without end; keeps each answer's status, who served it, and when it came."""

    running: Any
    body: Any
    answers: list[tuple[float, int, frozenset[str]]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self.thread = threading.Thread(target=self._ask, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()

    def _ask(self) -> None:
        while not self.ended.is_set():
            status, text = self.running.ask("/invocations", self.body)
            served = frozenset(row["served_by"] for row in json.loads(text)["predictions"]) if status == 200 else ()
            self.answers.append((time.monotonic(), status, frozenset(served)))

    def now(self) -> frozenset[str]:
        """Return who serves an answer that was asked for after this call."""
        count = len(self.answers)
        while len(self.answers) < count + 2:
            time.sleep(0.01)
        return self.answers[-1][2]

    def last(self, who: str) -> float:
        """Return when the last answer of `who` came, monotonic seconds."""
        return max(at for at, _, served in self.answers if who in served)

    @property
    def statuses(self) -> Counter[int]:
        return Counter(status for _, status, _ in self.answers)


@pytest.fixture
def trial(
    served: Path,
    platform: Platform,
    cluster: KServeCluster,
    up: Callable[..., Any],
    until: Any,
    request_body: dict[str, Any],
) -> Iterator[tuple[str, Any, Asking]]:
    """A canary that answers from its pod for all areas; its release, the running project, and somebody who asks."""
    strings = served / "strings"
    strings.write_text("honest")
    release = puppet_release(platform, strings)
    put_on_trial(platform, release, RolloutState.CANARY, lease_until=platform.clock.now() + LEASE)
    running = up(served)
    until(lambda: running.get("/v2/health/live"), "the gateway")
    until(lambda: len(cluster.server.objects()) == 2, "both releases to be started")
    with Asking(running, request_body) as asking:
        until(lambda: asking.now() == {"canary"}, "the canary to answer")
        asking.answers.clear()
        yield release, running, asking


def test_a_rollback_without_an_api_server_and_a_pod_that_dies(
    served: Path,
    platform: Platform,
    cluster: KServeCluster,
    trial: tuple[str, Any, Asking],
    until: Any,
) -> None:
    release, running, asking = trial
    cluster.server.token = "revoked"
    cluster.server.break_watches()
    assert asking.now() == {"canary"}, "answers need no control plane"

    cluster.kill(f"mygrid-{release}", signal.SIGSTOP)
    until(lambda: asking.now() == {"champion"}, "the champion to answer where the canary hangs")
    cluster.kill(f"mygrid-{release}", signal.SIGCONT)

    began = time.monotonic()
    assert main(["rollback", "--reason", "a test", "--project", str(served)]) == 0
    told = time.monotonic()
    until(lambda: running.route()["canary"] is None, "the gateway to follow")  # a late canary has a stand-in before
    until(lambda: asking.now() == {"champion"}, "the champion")
    late_ms = 1000.0 * max(0.0, asking.last("canary") - told)
    LOG.info("the command took %.0f ms, the last canary came %.0f ms after it", 1000.0 * (told - began), late_ms)
    count = len(asking.answers)
    until(lambda: len(asking.answers) > count + 20, "more answers")
    after = [served for _, _, served in asking.answers[count:]]
    assert set(after) == {frozenset({"champion"})}, after
    assert set(asking.statuses) == {200}
    route = platform.ledger.get(RouteRecord, "route")
    assert route is not None
    assert route.canary is None
    assert len(cluster.server.objects()) == 2, "nothing had to be started or deleted for it"


def succeed(platform: Platform, release: str) -> str:
    """Write that a release has become champion, as if its rollout were over; return who was before."""
    now, route = platform.clock.now(), platform.ledger.get(RouteRecord, "route")
    assert route is not None
    assert route.champion is not None
    crowned = new_rollout(release, route.champion, RolloutPlan(), now, scale=0.1, reason="by a test")
    crowned = replace(crowned, state=RolloutState.CHAMPION, since=now, tried_at=now, promoted_at=now)
    with platform.ledger.change("test", now) as change:
        for record in platform.ledger.find(RolloutRecord, finished_at=None):
            over = replace(Rollout.from_record(record), state=RolloutState.RETIRED, since=now, finished_at=now)
            change.put(over.to_record())
        change.put(crowned.to_record())
        change.put(replace(route, epoch=route.epoch + 1, champion=release, at=now))
        change.note("rollout.test", release, {"champion": release})
    return route.champion


def test_a_rollback_to_a_release_without_pods_starts_them_while_the_champion_serves(
    served: Path, platform: Platform, cluster: KServeCluster, up: Callable[..., Any], until: Any, request_body: Any
) -> None:
    strings = served / "strings"
    strings.write_text("honest")
    release = puppet_release(platform, strings)
    former = succeed(platform, release)
    running = up(served)
    until(lambda: running.get("/v2/health/live"), "the gateway")
    until(lambda: list(cluster.server.objects()) == [f"mygrid-{release}"], "the champion alone to be started")
    with Asking(running, request_body) as asking:
        until(lambda: asking.now() == {"champion"}, "the champion to answer")
        status, text = running.ask("/v1/rollback", {"to": former, "reason": "a test"})
        if status == 409:  # where nobody signs in, whoever reaches the gateway may ask: it does not wait
            assert "being started" in text
        asking.answers.clear()
        assert main(["rollback", "--to", former, "--reason", "a test", "--project", str(served)]) == 0
        route = platform.ledger.get(RouteRecord, "route")
        assert route is not None
        assert route.champion == former
        until(lambda: asking.now() == {"champion"}, "the former champion to answer")
        assert {who for _, _, served_by in asking.answers for who in served_by} == {"champion"}
        assert set(asking.statuses) == {200}
    assert f"mygrid-{former}" in cluster.server.objects()
    actions = [entry.action for entry in platform.ledger.entries()]
    assert "kserve.wish" in actions
    assert main(["rollback", "--to", "rel-000000000000", "--reason", "x", "--project", str(served)]) == 2


def test_a_dead_controller_and_a_dead_control_plane_mean_champion(
    platform: Platform, cluster: KServeCluster, trial: tuple[str, Any, Asking], until: Any
) -> None:
    release, running, asking = trial
    (controller,) = running.pids("controller")
    os.kill(controller, signal.SIGSTOP)
    try:
        cluster.server.installed = False
        route = platform.ledger.get(RouteRecord, "route")
        assert route is not None
        now = platform.clock.now()
        short = replace(route, epoch=route.epoch + 1, lease_until=now + timedelta(seconds=20), at=now)
        with platform.ledger.change("test", now) as change:
            change.put(short)
            change.note("rollout.test", release, {"epoch": short.epoch})
        until(lambda: asking.now() == {"champion"}, "the lease to end the canary")
        assert platform.ledger.get(StateRecord, f"kserve/{release}") is not None
        champion = f"mygrid-{route.champion}"
        asking.answers.clear()
        cluster.kill(champion, signal.SIGKILL)
        until(lambda: any("champion" not in who for _, _, who in asking.answers), "the ladder without the champion")
        cluster.server.installed = True
        until(lambda: asking.now() == {"champion"}, "the champion's pod to be back, without a controller")
        assert set(asking.statuses) == {200}
    finally:
        os.kill(controller, signal.SIGCONT)
