"""Returning to a release whose pods are gone: its pods are asked for, waited for, and nothing is switched before."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from recloser.app import Platform
from recloser.app.cluster.hosting import Hosted, host_releases, hosting
from recloser.app.cluster.returning import LONGER, Caller, bring_back, require_running, runs, wish, wished
from recloser.core import Refused, Unavailable, VirtualClock
from recloser.ledger import RouteRecord, StateRecord
from recloser.testing.apis.http_api import wait_until
from recloser.testing.apis.kube_api import KubeServer
from recloser.testing.lives import lived_project

URL = "http://old.recloser.svc.cluster.local"
"""Without a port, as some versions of KServe tell it."""
SECTION = """
[kserve]
url = "{url}"
name = "mygrid"
image = "registry.example/recloser:0.1.0"
start_minutes = 3
"""


@pytest.fixture
def kube() -> Iterator[KubeServer]:
    """An API server without rights to check."""
    with KubeServer() as server:
        yield server


@pytest.fixture(scope="module")
def _lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, datetime]:
    return lived_project(tmp_path_factory.mktemp("returning") / "grid", days=2)


@pytest.fixture
def platform(kube: KubeServer, tmp_path: Path, _lived: tuple[Path, datetime]) -> Iterator[Platform]:
    """A project under KServe whose champion has a package and no pods."""
    folder, now = Path(shutil.copytree(_lived[0], tmp_path / "grid")), _lived[1]
    with (folder / "recloser.toml").open("a", encoding="utf-8") as file:
        file.write(SECTION.format(url=kube.url))
    with Platform.open(folder, clock=VirtualClock(now)) as opened:
        host_releases(opened)
        yield opened


@pytest.fixture
def release(platform: Platform) -> str:
    """The release to return to."""
    route = platform.ledger.get(RouteRecord, "route")
    assert route is not None
    assert route.champion is not None
    return route.champion


def caller(said: list[str]) -> Caller:
    """Return somebody who keeps what he is told."""
    return Caller("ann", "it was better", said.append)


def test_a_wish_counts_until_its_end_and_others_go_on_beside_it(platform: Platform, release: str) -> None:
    clock = platform.clock
    assert isinstance(clock, VirtualClock)
    begun = clock.now()
    wish(platform, release, caller([]))
    clock.advance_to(clock.now() + timedelta(minutes=5))
    wish(platform, "rel-8c01d2aa97e4", caller([]))
    assert wished(platform.ledger, clock.now()) == {
        release: begun + timedelta(minutes=3) + LONGER,
        "rel-8c01d2aa97e4": begun + timedelta(minutes=8) + LONGER,
    }
    clock.advance_to(clock.now() + timedelta(minutes=8))
    assert set(wished(platform.ledger, clock.now())) == {"rel-8c01d2aa97e4"}
    told = [entry for entry in platform.ledger.entries() if entry.action == "kserve.wish"]
    assert [(entry.actor, entry.subject) for entry in told] == [("ann", release), ("ann", "rel-8c01d2aa97e4")]


def test_what_is_wished_for_is_started_though_no_route_names_it(
    kube: KubeServer, platform: Platform, release: str
) -> None:
    with hosting(platform, lambda _line: None) as traffic:
        assert traffic is not None
        wish(platform, release, caller([]))
        assert wait_until(lambda: f"mygrid-{release}" in kube.objects())
        ready = {"conditions": [{"type": "Ready", "status": "True"}], "address": {"url": URL}}
        kube.set_status(f"mygrid-{release}", ready)
        assert wait_until(lambda: Hosted(platform).address(release) != "")
    assert Hosted(platform).address(release) == URL


def test_who_waits_in_vain_switches_nothing_and_is_told_who_serves(platform: Platform, release: str) -> None:
    said: list[str] = []
    before = platform.ledger.get(RouteRecord, "route")
    seconds = iter(range(0, 10_000, 30))
    waits: list[float] = []
    with pytest.raises(Unavailable, match="nothing was switched"):
        bring_back(platform, release, caller(said), waits.append, lambda: float(next(seconds)))
    assert len(waits) in {5, 6}
    assert len(said) == 1
    assert f"{release} goes on serving" in said[0]
    assert set(wished(platform.ledger, platform.clock.now())) == {release}
    assert platform.ledger.get(RouteRecord, "route") == before


def test_who_cannot_wait_is_refused_with_the_next_step_and_the_pods_are_asked_for(
    platform: Platform, release: str
) -> None:
    with pytest.raises(Refused, match="being started") as caught:
        require_running(platform, release, caller([]))
    assert "goes on serving" in caught.value.explain()
    assert set(wished(platform.ledger, platform.clock.now())) == {release}


def test_releases_of_our_own_processes_need_no_pods(platform: Platform, release: str) -> None:
    platform.elsewhere = None
    assert runs(platform, release)
    bring_back(platform, release, caller([]))
    require_running(platform, release, caller([]))
    assert platform.ledger.get(StateRecord, "kserve.wishes") is None
