"""The contract of a rollout's router: what brings a route to gateways, embedded or under KServe, must pass this.

Under KServe everything runs: an API server over HTTP, a process for each release, the gateway that asks them.
"""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from recloser.app import Platform, run_pipeline
from recloser.app.cluster.hosting import hosting
from recloser.app.loop.router import LocalRouter
from recloser.core import Unavailable, VirtualClock
from recloser.ledger import RouteRecord, StateRecord
from recloser.registry import read_golden
from recloser.rollout import Router
from recloser.testing import QUICK, small_project
from recloser.testing.apis.http_api import wait_until
from recloser.testing.apis.kserve_cluster import KServeCluster
from recloser.testing.puppets import puppet_release

pytestmark = pytest.mark.slow
NOW = datetime(2020, 5, 1, 9, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@dataclass
class Bench:
    """A router, the platform behind it, and two releases: a champion and a puppet that does as its file says."""

    router: Router
    local: LocalRouter
    platform: Platform
    champion: str
    puppet: str
    strings: Path
    cluster: KServeCluster | None = None

    def route(self, epoch: int, **more: object) -> RouteRecord:
        plain = RouteRecord(
            "route", epoch, self.champion, None, 0.0, [], None, ["seasonal_naive", "persistence"], None, "a test", NOW
        )
        return replace(plain, **more)  # type: ignore[arg-type]

    def canary(self, epoch: int, lease_until: datetime = NOW + timedelta(hours=1)) -> RouteRecord:
        return self.route(epoch, canary=self.puppet, share=1.0, lease_until=lease_until)

    def verified(self, release: str) -> str:
        """Ask until the release can be asked: a pod takes a while to start."""
        answer: list[str] = []

        def asked() -> bool:
            try:
                answer.append(self.router.verify(release))
            except Unavailable:
                return False
            return True

        assert wait_until(asked, 300.0)
        return answer[0]

    def set_route(self, route: RouteRecord) -> None:
        """Set a route as the controller does: again at its next tick when the gateways cannot be reached."""

        def done() -> bool:
            try:
                self.router.set_route(route)
            except Unavailable:
                return False
            return True

        assert wait_until(done, 300.0)

    def served_by(self, now: datetime = NOW) -> set[str]:
        """Return which releases answer rows of both areas."""
        loaded = self.platform.load(self.champion)
        rows = read_golden(loaded.package).rows.unique(["area", "at"], keep="first", maintain_order=True)
        issued_at = rows["issued_at"][0]
        rows = rows.filter(pl.col("issued_at") == issued_at).sort("area", "at")
        answer = self.local.gateway.answer(rows, issued_at, now)
        return {served.release for served in answer.served}


@pytest.fixture(scope="module")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = QUICK.replace("[registry]", "allow_code = true\n\n[registry]")
    folder = small_project(tmp_path_factory.mktemp("router") / "grid", settings=settings)
    assert run_pipeline(folder, as_of=None, engine="local", progress=lambda _line: None)["verdict"] == "pass"
    return folder


@contextmanager
def opened(folder: Path) -> Iterator[tuple[Platform, str, str, Path]]:
    with Platform.open(folder, clock=VirtualClock(NOW)) as platform:
        champion = platform.champion()
        assert champion is not None
        strings = folder / "strings"
        strings.write_text("honest")
        yield platform, champion.release, puppet_release(platform, strings), strings


@contextmanager
def embedded(folder: Path) -> Iterator[Bench]:
    with opened(folder) as (platform, champion, puppet, strings):
        router = LocalRouter(platform)
        router.refresh(platform.clock.now())
        yield Bench(router, router, platform, champion, puppet, strings)


@contextmanager
def kserve(folder: Path) -> Iterator[Bench]:
    with KServeCluster({"recloser-project": folder}, token="secret") as cluster:
        (folder / "token").write_text("secret")
        table = (
            f'\n[kserve]\nurl = "{cluster.server.url}"\nname = "mygrid"\ntoken_file = "token"\npatience_ms = 20000\n'
        )
        file = folder / "recloser.toml"
        file.write_text(file.read_text() + table)
        with opened(folder) as (platform, champion, puppet, strings):
            platform.forget(())
            with hosting(platform, lambda _line: None) as traffic:
                assert traffic is not None
                local = LocalRouter(platform)
                router = traffic(local)
                local.refresh(platform.clock.now())
                yield Bench(router, local, platform, champion, puppet, strings, cluster)


@pytest.fixture(params=[embedded, kserve], ids=["embedded", "kserve"])
def bench(request: pytest.FixtureRequest, _trained: Path, tmp_path: Path) -> Iterator[Bench]:
    with request.param(Path(shutil.copytree(_trained, tmp_path / "grid"))) as made:
        yield made


@pytest.fixture
def hosted(_trained: Path, tmp_path: Path) -> Iterator[Bench]:
    with kserve(Path(shutil.copytree(_trained, tmp_path / "grid"))) as made:
        yield made


def test_before_the_first_route_there_is_none(bench: Bench) -> None:
    assert bench.router.current() is None
    assert not bench.router.settled(1)


def test_a_route_is_followed_once_its_releases_are_fit(bench: Bench) -> None:
    assert bench.verified(bench.champion) == ""
    bench.set_route(bench.route(1))
    assert bench.router.current() == bench.route(1)
    assert bench.router.settled(1)
    assert bench.served_by() == {bench.champion}
    assert bench.verified(bench.puppet) == ""
    bench.set_route(bench.canary(2))
    assert bench.served_by() == {bench.puppet}


def test_setting_a_route_again_changes_nothing_and_an_older_one_is_ignored(bench: Bench) -> None:
    for release in (bench.champion, bench.puppet):
        assert bench.verified(release) == ""
    bench.set_route(bench.canary(5))
    for _ in range(3):
        bench.set_route(bench.canary(5))
    bench.set_route(bench.route(4))
    assert bench.router.current() == bench.canary(5)
    assert bench.served_by() == {bench.puppet}


def test_the_same_epoch_with_a_longer_lease_renews_it_and_without_it_the_champion_answers(bench: Bench) -> None:
    for release in (bench.champion, bench.puppet):
        assert bench.verified(release) == ""
    bench.set_route(bench.canary(1, NOW + SECOND))
    assert bench.served_by(NOW) == {bench.puppet}
    assert bench.served_by(NOW + 2 * SECOND) == {bench.champion}
    bench.set_route(bench.canary(1, NOW + 3 * SECOND))
    assert bench.served_by(NOW + 2 * SECOND) == {bench.puppet}
    assert bench.served_by(NOW + 4 * SECOND) == {bench.champion}


def test_a_release_that_does_not_verify_is_told(bench: Bench) -> None:
    assert bench.verified(bench.champion) == ""
    assert "rel-000000000000" not in str(bench.router.current())
    assert bench.router.verify("rel-000000000000")
    damaged = bench.platform.layout.packages / bench.puppet / "release.json"
    damaged.write_bytes(damaged.read_bytes() + b" ")
    bench.platform.forget(())
    told = _first_word(bench, bench.puppet)
    assert told


def _first_word(bench: Bench, release: str) -> str:
    """Return what is said of a release that cannot serve: at once, or that it does not start."""
    try:
        return bench.router.verify(release)
    except Unavailable as error:
        return error.explain()


# What only holds where releases run under KServe.


def test_a_rollback_needs_no_api_server(hosted: Bench) -> None:
    assert hosted.cluster is not None
    for release in (hosted.champion, hosted.puppet):
        assert hosted.verified(release) == ""
    hosted.set_route(hosted.canary(1))
    assert hosted.served_by() == {hosted.puppet}
    hosted.cluster.server.installed = False
    hosted.cluster.server.token = "revoked"
    assert hosted.router.verify(hosted.champion) == "", "it answers where it runs, whatever the API server says"
    hosted.router.set_route(hosted.route(2))
    assert hosted.served_by() == {hosted.champion}
    assert hosted.router.settled(2)


def test_a_dead_pod_costs_a_rung_and_is_back_by_itself(hosted: Bench) -> None:
    assert hosted.cluster is not None
    for release in (hosted.champion, hosted.puppet):
        assert hosted.verified(release) == ""
    hosted.set_route(hosted.canary(1))
    name = f"mygrid-{hosted.puppet}"
    hosted.cluster.kill(name, signal.SIGKILL)
    assert hosted.served_by() <= {hosted.champion, hosted.puppet}, "the champion answers in the same request"
    assert hosted.verified(hosted.puppet) == ""
    hosted.set_route(hosted.canary(2))
    assert wait_until(lambda: hosted.served_by() == {hosted.puppet}, 60.0)


def test_a_release_that_does_not_run_may_not_serve_by_order_of_a_person_either(hosted: Bench) -> None:
    """What `rollback --to` asks, at the command line and in a gateway."""
    assert "not ready" in LocalRouter(hosted.platform).verify(hosted.champion)


def test_a_release_is_asked_with_what_callers_send(hosted: Bench) -> None:
    """Rows that come over the wire hold no more than the columns that the release says it reads."""
    assert hosted.verified(hosted.champion) == ""
    loaded = hosted.platform.load(hosted.champion)
    golden = read_golden(loaded.package)
    bare = golden.rows.select("area", "at", "scale_mw", *loaded.reads)
    assert loaded.predict(bare).tobytes() == golden.answers.tobytes()


def test_where_a_release_runs_is_told_to_all_gateways_in_the_ledger(hosted: Bench) -> None:
    assert hosted.cluster is not None
    assert hosted.verified(hosted.champion) == ""
    state = hosted.platform.ledger.get(StateRecord, f"kserve/{hosted.champion}")
    assert state is not None
    assert state.state["url"].startswith("http://127.0.0.1:")
    assert hosted.cluster.server.complaints == []
    entries = [entry.action for entry in hosted.platform.ledger.entries() if entry.action.startswith("kserve.")]
    assert entries == ["kserve.ready"]


def test_what_the_route_no_longer_needs_is_kept_and_then_goes(hosted: Bench) -> None:
    assert hosted.cluster is not None
    server = hosted.cluster.server
    for release in (hosted.champion, hosted.puppet):
        assert hosted.verified(release) == ""
    hosted.set_route(hosted.canary(1))
    hosted.set_route(hosted.route(2))
    assert len(server.objects()) == 2
    clock = hosted.platform.clock
    assert isinstance(clock, VirtualClock)

    def gone_an_hour_later() -> bool:
        clock.advance_to(clock.now() + timedelta(hours=2))
        server.edit(f"mygrid-{hosted.champion}", _touch)
        return set(server.objects()) == {f"mygrid-{hosted.champion}"}

    assert wait_until(gone_an_hour_later, 120.0)


def _touch(document: dict[str, object]) -> None:
    metadata = document["metadata"]
    assert isinstance(metadata, dict)
    metadata["annotations"] = {**metadata["annotations"], "touched": str(time.monotonic())}
