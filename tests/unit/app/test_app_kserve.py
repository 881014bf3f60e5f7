"""What the project file says of KServe: how releases come out of it, and what doctor says of the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recloser.app import Platform, scaffold
from recloser.app.cluster.checking import check_kserve
from recloser.app.cluster.hosting import Hosted, api_of, host_releases, hosting, plan_of
from recloser.core import InvalidInput, Refused, Unavailable, VirtualClock
from recloser.ledger import ReleaseRecord, RouteRecord, StateRecord
from recloser.serving.kserve import inference_service
from recloser.testing.apis.http_api import wait_until
from recloser.testing.apis.kube_api import KubeServer

NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)
RELEASE, DIGEST = "rel-3f9a12bc04de", "3f9a12bc04de" + "0" * 52
SECTION = """
[kserve]
url = "{url}"
token_file = "token"
name = "mygrid"
image = "registry.example/recloser:0.1.0"
claim_path = "grids/mygrid"
replicas = 2

[kserve.resources]
cpu_request = "500m"
memory_limit = "1Gi"
"""


@pytest.fixture
def kube() -> Iterator[KubeServer]:
    with KubeServer(token="first") as server:
        yield server


@pytest.fixture
def platform(kube: KubeServer, tmp_path: Path) -> Iterator[Platform]:
    folder = project(tmp_path / "grid", SECTION.format(url=kube.url))
    (folder / "token").write_text("first")
    with Platform.open(folder, clock=VirtualClock(NOW)) as opened:
        yield opened


def project(folder: Path, text: str) -> Path:
    scaffold(folder, areas=["NORTH"], time_zone="UTC")
    with (folder / "recloser.toml").open("a", encoding="utf-8") as file:
        file.write(text)
    return folder


def crown(platform: Platform) -> None:
    """Write a champion whose package nobody looks at here."""
    record = ReleaseRecord(RELEASE, DIGEST, "p", "run-1", NOW, "champion", None, {})
    route = RouteRecord("route", 1, RELEASE, None, 0.0, [], None, ["seasonal_naive"], None, "a test", NOW)
    with platform.ledger.change("test", NOW) as change:
        change.put(record)
        change.put(route)
        change.note("test", RELEASE, {})


def test_the_project_file_says_how_releases_run(platform: Platform) -> None:
    plan = plan_of(platform)
    assert (plan.project, plan.namespace, plan.replicas, plan.claim_path) == ("mygrid", "recloser", 2, "grids/mygrid")
    assert (plan.requests, plan.limits) == ({"cpu": "500m"}, {"memory": "1Gi"})
    assert plan.allow_code is False


def test_without_a_url_releases_run_here(tmp_path: Path) -> None:
    with Platform.open(project(tmp_path / "grid", "")) as platform:
        host_releases(platform)
        assert platform.elsewhere is None
        assert check_kserve(platform)["state"] == "ok"
        with pytest.raises(Unavailable, match="no KServe"):
            api_of(platform)
        with hosting(platform, lambda _line: None) as traffic:
            assert traffic is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[kserve]\nurl = "http://h"\n', "kserve.name"),
        ('[kserve]\nurl = "http://h"\nname = "My_Grid"\n', "kserve.name"),
        ('[kserve]\nurl = "ftp://h"\nname = "mygrid"\n', "kserve.url"),
        ('[kserve]\nurl = "http://h"\nname = "mygrid"\nreplica = 2\n', "replicas"),
    ],
)
def test_a_wrong_section_is_told_by_its_key(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        Platform.open(project(tmp_path / "grid", text))


def test_a_replay_never_reaches_the_cluster(kube: KubeServer, platform: Platform) -> None:
    with Platform.open(platform.layout.root, clock=VirtualClock(NOW), isolated=True) as isolated:
        host_releases(isolated)
        assert isolated.elsewhere is None
    assert kube.requests == []


def test_where_a_release_runs_is_known_by_the_ledger(platform: Platform) -> None:
    hosted = Hosted(platform)
    assert hosted.address(RELEASE) == ""
    with platform.ledger.change("kserve", NOW) as change:
        change.put(StateRecord(f"kserve/{RELEASE}", NOW, {"url": "http://there"}))
        change.note("kserve.ready", RELEASE, {"url": "http://there"})
    assert hosted.address(RELEASE) == "http://there"


def test_the_keeper_starts_what_is_asked_for(kube: KubeServer, platform: Platform) -> None:
    crown(platform)
    said: list[str] = []
    with hosting(platform, said.append) as traffic:
        assert traffic is not None
        router = traffic(_Local())  # type: ignore[arg-type]
        with pytest.raises(Unavailable):
            router.verify(RELEASE)
        assert wait_until(lambda: list(kube.objects()) == [f"mygrid-{RELEASE}"])
    (made,) = kube.objects().values()
    wanted = inference_service(plan_of(platform), RELEASE, DIGEST)
    assert made["metadata"]["annotations"] == wanted["metadata"]["annotations"]
    assert (said, kube.complaints) == ([], [])


class _Local:
    """The gateway's own router is not asked here."""

    def current(self) -> None:
        return None


def test_doctor_is_content(kube: KubeServer, platform: Platform) -> None:
    told = check_kserve(platform)
    assert (told["state"], told["detail"]) == ("ok", "v1beta1 in recloser, 6 rights, 0 of 0 releases ready")
    assert kube.objects() == {}, "a dry run keeps nothing"


def test_doctor_names_the_champion_that_is_not_ready(kube: KubeServer, platform: Platform) -> None:
    crown(platform)
    assert "is not there" in check_kserve(platform)["detail"]
    kube.put(inference_service(plan_of(platform), RELEASE, DIGEST))
    told = check_kserve(platform)
    assert (told["state"], "pods are starting" in told["detail"]) == ("note", True)
    status = {"conditions": [{"type": "Ready", "status": "True"}], "address": {"url": "http://there"}}
    kube.set_status(f"mygrid-{RELEASE}", status)
    assert check_kserve(platform)["detail"].endswith("1 of 1 releases ready")


@pytest.mark.parametrize("missing", ["get", "list", "watch", "create", "update", "delete"])
def test_doctor_names_each_right_that_is_missing(kube: KubeServer, platform: Platform, missing: str) -> None:
    kube.allowed.discard(missing)
    told = check_kserve(platform)
    assert told["state"] == "FAIL"
    assert f"may not {missing} InferenceServices" in told["detail"]


def test_doctor_says_what_else_is_wrong(kube: KubeServer, platform: Platform) -> None:
    kube.installed = False
    assert "install it" in check_kserve(platform)["detail"]
    kube.installed, kube.namespace = True, "another"
    assert "may not" in check_kserve(platform)["detail"]
    kube.namespace, kube.token = "recloser", "second"
    with pytest.raises(Refused, match="401"):
        check_kserve(platform)
