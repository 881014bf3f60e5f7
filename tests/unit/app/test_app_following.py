"""Following the ledger while releases load slowly, hang or fail: the newest decision is never kept waiting."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from recloser.app import run_pipeline
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.loop.router import LocalRouter
from recloser.app.platform import Platform
from recloser.app.processes.cuts import FoundCut, read_cuts, write_cut
from recloser.app.processes.following import RouteFollower
from recloser.app.processes.hosts.identity import Identity
from recloser.app.processes.loading import FIRST_WAIT_S, LONGEST_WAIT_S, ReleaseLoader
from recloser.app.processes.reports import read_reports
from recloser.app.release import LoadedRelease
from recloser.core import Unavailable, VirtualClock
from recloser.ledger import RouteRecord
from recloser.rollout import RolloutState
from recloser.serving import AssetLimits, Cut
from recloser.serving.http import EventBuffer
from recloser.testing.puppets import puppet_release, put_on_trial

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def _served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from recloser.testing import QUICK, small_project

    settings = QUICK.replace("[registry]", "allow_code = true\n\n[registry]")
    folder = small_project(tmp_path_factory.mktemp("following") / "grid", settings=settings)
    assert run_pipeline(folder, as_of=None, engine="local", progress=lambda _line: None)["verdict"] == "pass"
    return folder


@pytest.fixture
def platform(_served: Path, tmp_path: Path) -> Iterator[Platform]:
    """A project with a champion, as a gateway process opens it."""
    import shutil

    with Platform.open(Path(shutil.copytree(_served, tmp_path / "grid")), apart=True) as opened:
        route = opened.ledger.get(RouteRecord, "route")
        assert route is not None
        opened.clock = VirtualClock(route.at + timedelta(hours=9))
        yield opened


def follower_of(platform: Platform, worker: str = "1") -> RouteFollower:
    return RouteFollower(platform, ControlLoop(platform, LoopOptions()), EventBuffer(), 0, Identity.here(worker))


def gateway_of(follower: RouteFollower):  # type: ignore[no-untyped-def]
    return follower._loop.router.gateway


@pytest.fixture
def strings(tmp_path: Path) -> Path:
    path = tmp_path / "strings"
    path.write_text("honest")
    return path


def until(found, what: str):  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"waited in vain: {what}")


@dataclass
class Slow:
    """Loads what it is let to, and counts the tries."""

    fail: set[str] = field(default_factory=set)
    gates: dict[str, threading.Event] = field(default_factory=dict)
    tries: list[str] = field(default_factory=list)
    now: float = 0.0

    def load(self, name: str) -> LoadedRelease:
        self.tries.append(name)
        if name in self.gates:
            self.gates[name].wait()
        if name in self.fail:
            raise Unavailable("not today", where=name)
        return LoadedRelease.__new__(LoadedRelease)

    def timer(self) -> float:
        return self.now


def test_what_fails_is_tried_after_growing_waits_and_at_once_by_another_decision() -> None:
    slow = Slow(fail={"rel-2"})
    loader = ReleaseLoader(slow.load, timer=slow.timer)
    waits, due = [], 0.0
    while len(waits) < 9:
        assert loader.want(["rel-2"], 1) == []
        assert loader.wait(["rel-2"], PATIENCE_S)
        begun, tried = slow.now, len(slow.tries)
        while len(slow.tries) == tried:
            slow.now += FIRST_WAIT_S / 2
            loader.want(["rel-2"], 1)
            loader.wait(["rel-2"], PATIENCE_S)
        waits.append(slow.now - begun)
    assert waits[:4] == [0.5, 1.0, 2.0, 4.0]
    assert waits[-1] == LONGEST_WAIT_S
    assert "not today" in loader.problems()["rel-2"]
    tried, due = len(slow.tries), slow.now
    loader.want(["rel-2"], 2)
    assert loader.wait(["rel-2"], PATIENCE_S)
    assert (len(slow.tries), slow.now) == (tried + 1, due)


def test_one_that_hangs_keeps_no_other_waiting_and_is_given_up_when_nobody_wants_it() -> None:
    slow = Slow(gates={"rel-2": threading.Event()})
    loader = ReleaseLoader(slow.load, timer=slow.timer)
    loader.want(["rel-2", "rel-3"], 1)
    assert loader.wait(["rel-3"], PATIENCE_S)
    assert len(loader.want(["rel-2", "rel-3"], 1)) == 1
    assert loader.want(["rel-2"], 1) == []
    assert slow.tries.count("rel-2") == 1  # one thread, however often it is wanted
    loader.want([], 2)
    slow.gates["rel-2"].set()
    assert loader.wait(["rel-2"], PATIENCE_S)
    loader.want([], 2)
    assert loader.problems() == {}
    slow.gates.clear()
    assert loader.want(["rel-2"], 3) == []  # what came after nobody wanted it was not kept
    assert slow.tries.count("rel-2") == 2


@pytest.mark.slow
def test_a_rollback_takes_effect_while_a_candidate_hangs(platform: Platform, strings: Path) -> None:
    release = puppet_release(platform, strings)
    follower = follower_of(platform)
    follower.begin(challengers_s=PATIENCE_S)
    before = gateway_of(follower).route
    strings.write_text("hang")
    put_on_trial(platform, release, RolloutState.CANARY)
    follower.follow()
    assert gateway_of(follower).route == before  # nobody serves worse for what cannot be loaded
    follower.follow()
    assert read_reports(platform.layout.state)[0].epoch == before.epoch  # the rollout does not count as settled
    outcome = follower._loop.controller.rollback(reason="it hangs", actor="test")
    assert outcome.rollout is not None
    assert outcome.rollout.release == release
    follower.follow()
    now = gateway_of(follower).route
    assert (now.epoch, now.champion, now.canary) == (before.epoch + 2, before.champion, None)
    strings.write_text("honest")


@pytest.mark.slow
def test_a_gateway_that_starts_beside_a_hanging_canary_serves_the_champion(platform: Platform, strings: Path) -> None:
    release = puppet_release(platform, strings)
    strings.write_text("hang")
    put_on_trial(platform, release, RolloutState.CANARY)
    route = platform.ledger.get(RouteRecord, "route")
    assert route is not None
    follower = follower_of(platform)
    follower.begin(challengers_s=0.0)
    reduced = gateway_of(follower).route
    assert (reduced.champion, reduced.canary, reduced.epoch) == (route.champion, None, route.epoch - 1)
    strings.write_text("honest")
    until(lambda: follower.follow() or gateway_of(follower).route.epoch == route.epoch, "the canary")
    assert gateway_of(follower).route.canary == release


@pytest.mark.slow
def test_the_end_of_a_canary_is_followed_though_the_next_candidate_fails(platform: Platform, tmp_path: Path) -> None:
    words = [tmp_path / name for name in ("first", "second")]
    for path in words:
        path.write_text("honest")
    first, second = (puppet_release(platform, path) for path in words)
    put_on_trial(platform, first, RolloutState.CANARY)
    follower = follower_of(platform)
    follower.begin(challengers_s=PATIENCE_S)
    assert gateway_of(follower).route.canary == first
    words[1].write_text("fail")
    route = platform.ledger.get(RouteRecord, "route")
    assert route is not None
    ended = replace(route, epoch=route.epoch + 1, canary=None, share=0.0, lease_until=None)
    with platform.ledger.change("test", platform.clock.now()) as change:  # two decisions between two looks
        change.put(ended)
        change.note("test", "route", {})
    put_on_trial(platform, second, RolloutState.SHADOW)
    follower.follow()
    now = gateway_of(follower).route
    assert (now.epoch, now.champion, now.canary, now.shadow) == (route.epoch + 1, route.champion, None, None)
    until(lambda: follower.follow() or "told to fail" in read_reports(platform.layout.state)[0].problem, "the reason")
    with platform.ledger.change("test", platform.clock.now()) as change:
        change.put(replace(ended, epoch=route.epoch + 3))
        change.note("test", "route", {})
    follower.follow()
    follower.follow()
    assert gateway_of(follower).route.epoch == route.epoch + 3
    until(lambda: follower.follow() or not read_reports(platform.layout.state)[0].problem, "nobody to want it any more")


@pytest.mark.slow
def test_a_restarted_worker_begins_cut_off_and_says_why(platform: Platform, strings: Path) -> None:
    release = puppet_release(platform, strings)
    put_on_trial(platform, release, RolloutState.CANARY)
    route, state = platform.ledger.get(RouteRecord, "route"), platform.layout.state
    assert route is not None
    at = platform.clock.now()
    cut = Cut(release, "3 failed answers within 1 day, 0:00:00; the last: F01: not finite", at, ("F01: not finite",))
    write_cut(state, FoundCut(route.epoch, "2", cut))
    write_cut(state, FoundCut(route.epoch, "3", Cut(release, "another reason", at)))  # the first one found it
    write_cut(state, FoundCut(route.epoch - 2, "2", cut))
    (state / "cuts" / f"{route.epoch}-damaged.json").write_text("{")
    assert read_cuts(state, route.epoch) == [FoundCut(route.epoch, "2", cut)]
    follower = follower_of(platform, "2")
    follower.begin(challengers_s=PATIENCE_S)
    gateway = gateway_of(follower)
    assert gateway.tripped == {release}
    assert gateway.cuts == (route.epoch, (Cut(release, f"gateway worker 2 cut it off: {cut.reason}", at),))
    assert read_cuts(state, route.epoch - 2) == []  # of routes that nobody follows any more
    assert read_reports(state)[0].pid == os.getpid()


class SlowToLearn(LocalRouter):
    """Takes as long to learn the limits as the test wants."""

    def __init__(self, platform: Platform) -> None:
        super().__init__(platform)
        self.asked, self.go = threading.Event(), threading.Event()

    def learn(self, now: datetime) -> dict[str, AssetLimits]:
        self.asked.set()
        assert self.go.wait(PATIENCE_S)
        return super().learn(now)


@pytest.mark.slow
def test_a_cut_of_another_worker_does_not_wait_until_limits_are_learned(platform: Platform, strings: Path) -> None:
    canary = puppet_release(platform, strings)
    put_on_trial(platform, canary, RolloutState.CANARY)
    route = platform.ledger.get(RouteRecord, "route")
    assert route is not None
    loop = ControlLoop(platform, LoopOptions())
    router = loop.router = SlowToLearn(platform)
    follower = RouteFollower(platform, loop, EventBuffer(), 0)
    follower.begin(challengers_s=PATIENCE_S, champion_s=0.0)
    assert router.asked.wait(PATIENCE_S)
    follower._loader.wait((route.champion or "", canary), PATIENCE_S)
    follower.follow()
    assert router.gateway.route.canary == canary
    cut = Cut(canary, "bad answers", platform.clock.now(), ("F01: not finite",))
    write_cut(platform.layout.state, FoundCut(route.epoch, "2", cut))
    follower.follow()
    assert canary in router.gateway.tripped
    assert not router.limits, "they are still being learned"
    router.go.set()
    assert follower._learner.wait(PATIENCE_S)
    follower.follow()
    assert sorted(router.gateway.limits) == ["F01", "F02"]
    assert canary in router.gateway.tripped


@pytest.mark.slow
def test_a_cut_of_another_worker_does_not_wait_for_a_slow_ledger(
    platform: Platform, strings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = puppet_release(platform, strings)
    put_on_trial(platform, canary, RolloutState.CANARY)
    route = platform.ledger.get(RouteRecord, "route")
    assert route is not None
    loop = ControlLoop(platform, LoopOptions())
    follower = RouteFollower(platform, loop, EventBuffer(), 0)
    follower.begin(PATIENCE_S, PATIENCE_S)
    gateway = loop.router.gateway
    assert gateway.route.canary == canary
    reading, go = threading.Event(), threading.Event()

    def slowly() -> None:
        reading.set()
        assert go.wait(PATIENCE_S)

    monkeypatch.setattr(follower, "_take_route", slowly)
    follower.start()
    assert reading.wait(PATIENCE_S)
    cut = Cut(canary, "bad answers", platform.clock.now(), ("F01: not finite",))
    write_cut(platform.layout.state, FoundCut(route.epoch, "2", cut))
    deadline = time.monotonic() + PATIENCE_S
    while canary not in gateway.tripped:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    follower.stop()
    go.set()
    follower.join()
