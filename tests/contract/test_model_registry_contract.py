"""Every ModelRegistry must pass these: FolderRegistry, and MlflowRegistry on SQLite and on a server with accounts."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import mlflow_server
import numpy as np
import polars as pl
import pytest
from mlflow_server import MlflowServer

from recloser.core import InvalidInput, Unavailable
from recloser.registry import (
    MLFLOW_QUIET,
    AliasChange,
    CodeCommit,
    EnvironmentLock,
    FolderRegistry,
    Golden,
    ModelRegistry,
    Package,
    PackageFacts,
    RunFacts,
    build_package,
    create_key,
)

AT = datetime(2020, 3, 1, 9, tzinfo=UTC)
RUN = RunFacts(
    key="run-3f9a12bc04de",
    started_at=AT,
    finished_at=AT.replace(hour=10),
    succeeded=True,
    environment=EnvironmentLock("CPython 3.11.7", "Linux x86_64", {"numpy": "2.4.6"}),
    commit=CodeCommit("a" * 40, dirty=True),
    params={"trees": 300, "areas": ["a", "b"], "kind": "lightgbm_quantile"},
    metrics={"wmape": 3.25, "mape": None, "rcrps": float("nan"), "n": 12},
    snapshots=({"table": "series", "version": 3, "digest": "ab"},),
    artifacts={"verdict.json": b"{}"},
)
_numbers = count()


@pytest.fixture(scope="session")
def mlflow_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    os.environ.update(MLFLOW_QUIET)
    return tmp_path_factory.mktemp("mlflow")


def _folder(root: Path, _shared: Path) -> ModelRegistry:
    return FolderRegistry(root / "registry")


def _mlflow(root: Path, shared: Path) -> ModelRegistry:
    module = importlib.import_module("recloser.registry.mlflow")
    # One database for all tests, since creating its tables costs seconds; names keep the tests apart.
    made: ModelRegistry = module.MlflowRegistry(
        f"sqlite:///{shared}/mlflow.db", f"training {root.name}", f"load {root.name}", shared / "artifacts"
    )
    return made


def _server(root: Path, shared: Path) -> ModelRegistry:
    module = importlib.import_module("recloser.registry.mlflow")
    uri = (shared / "server.uri").read_text()
    made: ModelRegistry = module.MlflowRegistry(uri, f"training {root.name}", f"load {root.name}")
    return made


SERVER = pytest.param(_server, marks=[pytest.mark.services, pytest.mark.slow])


@pytest.fixture(params=[_folder, _mlflow, SERVER], ids=["folder", "mlflow", "server"])
def reopen(
    request: pytest.FixtureRequest, tmp_path: Path, mlflow_root: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], ModelRegistry]:
    """Return a function that opens the same registry anew, as another process would."""
    root = tmp_path / f"r{next(_numbers)}"
    if request.param is _server:
        server: MlflowServer = request.getfixturevalue("mlflow_server")
        (mlflow_root / "server.uri").write_text(server.uri)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", mlflow_server.ADMIN)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", mlflow_server.PASSWORD)
    return lambda: request.param(root, mlflow_root)


@pytest.fixture
def registry(reopen: Callable[[], ModelRegistry]) -> ModelRegistry:
    return reopen()


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Package]:
    root = tmp_path_factory.mktemp("packages")
    (root / "saved").mkdir()
    (root / "saved" / "model.json").write_text("{}")
    signer = create_key(root / "key.pem")
    golden = Golden(pl.DataFrame({"x": [1.0]}), np.ones((1, 1)))
    facts = PackageFacts("m", (0.5,), {}, (AT, AT), (), {}, RUN.environment)
    kinds = ("first", "second", "third")
    return [
        build_package(root / "out", root / "saved", replace(facts, model_kind=kind), signer, golden) for kind in kinds
    ]


def test_a_run_is_kept_once_per_key(registry: ModelRegistry, reopen: Callable[[], ModelRegistry]) -> None:
    first = registry.log_run(RUN)
    assert registry.log_run(RUN) == first
    assert reopen().log_run(RUN) == first
    assert registry.log_run(replace(RUN, key="run-other", succeeded=False)) != first


def test_a_digest_is_registered_once(
    registry: ModelRegistry, reopen: Callable[[], ModelRegistry], packages: list[Package]
) -> None:
    registry.log_run(RUN)
    made = registry.register(packages[0], RUN.key)
    assert (made.version, made.release, made.digest) == (1, packages[0].release, packages[0].digest)
    kept = f"/artifacts/package/{packages[0].release}"  # a server takes no local path
    assert made.source == str(packages[0].path) or made.source.endswith(kept)
    assert made.run_key == RUN.key
    assert registry.register(packages[0], RUN.key) == made
    registry.log_run(replace(RUN, key="run-rerun"))
    assert reopen().register(packages[0], "run-rerun") == made
    assert registry.register(packages[1], RUN.key).version == 2


def test_a_version_needs_its_run(registry: ModelRegistry, packages: list[Package]) -> None:
    with pytest.raises(InvalidInput, match="no run"):
        registry.register(packages[0], "run-unknown")
    with pytest.raises(InvalidInput):
        registry.register(packages[0], "x' OR 1=1 --")


def test_aliases_point_move_and_vanish(
    registry: ModelRegistry, reopen: Callable[[], ModelRegistry], packages: list[Package]
) -> None:
    assert registry.resolve("champion") is None
    registry.set_alias("champion", None)  # removing what is not there is done already
    registry.log_run(RUN)
    first, second = (registry.register(package, RUN.key) for package in packages[:2])
    assert registry.resolve("champion") is None
    registry.set_alias("champion", first.release)
    registry.set_alias("champion", first.release)
    assert reopen().resolve("champion") == first
    registry.set_alias("champion", second.release)
    registry.set_alias("fallback", first.release)
    assert registry.resolve("champion") == second
    assert registry.resolve("fallback") == first
    registry.set_alias("champion", None)
    assert registry.resolve("champion") is None


def test_unknown_aliases_and_releases_are_refused(registry: ModelRegistry, packages: list[Package]) -> None:
    registry.log_run(RUN)
    registry.register(packages[0], RUN.key)
    for call in (
        lambda: registry.set_alias("champoin", packages[0].release),
        lambda: registry.resolve("champoin"),
        lambda: registry.sync_aliases({"champoin": None}),
        lambda: registry.set_alias("champion", "rel-000000000000"),
        lambda: registry.sync_aliases({"fallback": packages[0].release, "champion": "rel-000000000000"}),
    ):
        with pytest.raises(InvalidInput):
            call()
    assert registry.resolve("fallback") is None


def test_the_mirror_is_repaired(registry: ModelRegistry, packages: list[Package]) -> None:
    registry.log_run(RUN)
    one, two, three = (registry.register(package, RUN.key).release for package in packages)
    desired = {"champion": one, "challenger": two, "fallback": None}
    changes = registry.sync_aliases(desired)
    assert set(changes) == {AliasChange("champion", None, one), AliasChange("challenger", None, two)}
    assert registry.sync_aliases(desired) == ()
    registry.set_alias("champion", three)  # somebody moved it by hand
    registry.set_alias("fallback", three)
    assert set(registry.sync_aliases(desired)) == {
        AliasChange("champion", three, one),
        AliasChange("fallback", three, None),
    }
    champion = registry.resolve("champion")
    assert champion is not None
    assert champion.release == one
    assert registry.sync_aliases({"challenger": None}) == (AliasChange("challenger", two, None),)
    assert registry.resolve("champion") == champion


def test_unsafe_runs_are_refused() -> None:
    for change in ({"key": "a/b"}, {"key": ""}, {"artifacts": {"../x": b""}}, {"artifacts": {"x": bytes(5 * 2**20)}}):
        with pytest.raises(InvalidInput):
            replace(RUN, **change)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        replace(RUN, started_at=AT.replace(tzinfo=None))


def test_missing_metrics_are_named_and_never_numbers() -> None:
    assert RUN.numbers() == {"wmape": 3.25, "n": 12.0}
    assert RUN.tags()["recloser.missing_metrics"] == "mape,rcrps"


def test_mlflow_holds_what_people_look_for(tmp_path: Path, mlflow_root: Path) -> None:
    registry = _mlflow(tmp_path, mlflow_root)
    client = registry._client  # type: ignore[attr-defined]
    run = client.get_run(registry.log_run(RUN))
    assert run.info.status == "FINISHED"
    assert run.info.start_time == AT.timestamp() * 1000
    assert run.info.end_time == AT.replace(hour=10).timestamp() * 1000
    assert run.data.metrics == {"wmape": 3.25, "n": 12.0}
    assert run.data.params["areas"] == '["a","b"]'
    assert run.data.tags["recloser.commit"] == "a" * 40
    assert run.data.tags["recloser.dirty"] == "true"
    assert '"version":3' in run.data.tags["recloser.snapshots"]
    assert {f.path for f in client.list_artifacts(run.info.run_id)} == {"environment.json", "verdict.json"}


def test_a_half_kept_run_is_completed(tmp_path: Path, mlflow_root: Path) -> None:
    registry = _mlflow(tmp_path, mlflow_root)
    client = registry._client  # type: ignore[attr-defined]
    made = client.create_run(registry._experiment, tags={"recloser.run_key": RUN.key})  # type: ignore[attr-defined]
    registry._fill(made.info.run_id, replace(RUN, artifacts={}))  # type: ignore[attr-defined]
    client.update_run(made.info.run_id, status="RUNNING")  # as if killed just before it was closed
    assert registry.log_run(RUN) == made.info.run_id
    run = client.get_run(made.info.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["wmape"] == 3.25


@pytest.mark.usefixtures("mlflow_root")
def test_an_unreachable_store_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    registry = FolderRegistry(tmp_path / "file" / "registry")
    with pytest.raises(Unavailable):
        registry.log_run(RUN)
    module = importlib.import_module("recloser.registry.mlflow")
    with pytest.raises(Unavailable):
        module.MlflowRegistry(f"sqlite:///{tmp_path}/file/mlflow.db", "e", "m", tmp_path)
    with pytest.raises(InvalidInput, match="folder"):
        module.MlflowRegistry("sqlite:///x.db", "e", "m")


def test_the_room_does_not_import_mlflow() -> None:
    import subprocess

    code = "import sys, recloser.registry; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
