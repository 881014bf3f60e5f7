"""An API server of Kubernetes over real HTTP, and a keeper that asks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recloser.connectors.rest import Rest, RestTarget
from recloser.core import VirtualClock
from recloser.serving.kserve import KServeApi, Patience, ServiceKeeper, ServicePlan
from recloser.testing.apis.kube_api import KubeServer

START = datetime(2026, 11, 2, 9, tzinfo=UTC)
PLAN = ServicePlan("mygrid", "recloser", "registry.example/recloser:0.1.0", "recloser-project")
DIGESTS = {f"rel-{letter * 12}": letter * 64 for letter in "abcde"}
A, B, C, D, E = DIGESTS
PATIENCE = Patience(start=timedelta(minutes=15), linger=timedelta(hours=1))


def wanted(*releases: str) -> dict[str, str]:
    return {release: DIGESTS[release] for release in releases}


def no_sleep(_seconds: float) -> None:
    return None


@pytest.fixture
def kube() -> Iterator[KubeServer]:
    with KubeServer(token="first") as server:
        yield server


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("first\n")
    return path


@pytest.fixture
def rest(kube: KubeServer, token: Path) -> Rest:
    return Rest(RestTarget(kube.url, token, timeout_s=20.0, tries=3), no_sleep)


@pytest.fixture
def api(rest: Rest) -> KServeApi:
    return KServeApi(rest, "recloser")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


@pytest.fixture
def new_keeper(api: KServeApi, clock: VirtualClock) -> Callable[[], ServiceKeeper]:
    return lambda: ServiceKeeper(api, PLAN, clock, PATIENCE)


def names(kube: KubeServer) -> list[str]:
    return sorted(kube.objects())


def get_ready(kube: KubeServer, release: str, *, ready: bool = True, why: str = "") -> str:
    """Say as KServe's controller does that a release answers, or why it does not; return where."""
    url = f"http://mygrid-{release}-predictor.recloser.svc.cluster.local"
    condition = {"type": "Ready", "status": "True" if ready else "False", "message": why}
    kube.set_status(f"mygrid-{release}", {"conditions": [condition], "address": {"url": url}})
    return url
