"""A remote MLflow server with accounts: who may come in, what is told when nobody may, and that serving goes on."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import mlflow_server as mlflow_process
import pytest
from mlflow_server import ADMIN, PASSWORD, MlflowServer
from s3_server import S3Server

from recloser.app import Platform
from recloser.app.project.storage.tracking import RegistrySection, mlflow_environment
from recloser.cli import main
from recloser.core import InvalidInput, Unavailable
from recloser.ledger import RouteRecord
from recloser.registry import EnvironmentLock, RunFacts
from recloser.testing import QUICK, small_project
from recloser.testing.certificates import Authority

pytestmark = [pytest.mark.services, pytest.mark.slow]
AT = datetime(2020, 3, 1, 9, tzinfo=UTC)
RUN = RunFacts("run-1", AT, AT, True, EnvironmentLock("CPython 3.11.7", "Linux", {}), artifacts={"card.json": b"{}"})


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """The application tells MLflow's client by the environment; here it is put back."""
    before = {name: text for name, text in os.environ.items() if name.startswith("MLFLOW")}
    yield
    for name in [name for name in os.environ if name.startswith("MLFLOW")]:
        del os.environ[name]
    os.environ.update(before)


def opened(uri: str, root: Path, password: str = PASSWORD, **more: str):  # type: ignore[no-untyped-def]
    """Return the registry as a project opens it."""
    (root / "password").write_text(password + "\n")
    section = RegistrySection(tracking_uri=uri, username=ADMIN, password_file="password", timeout_seconds=5, **more)
    os.environ.update(mlflow_environment(section, root, os.environ))
    return importlib.import_module("recloser.registry.mlflow").MlflowRegistry(uri, root.name, root.name)


def test_runs_and_artifacts_go_to_the_server(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    registry = opened(mlflow_server.uri, tmp_path)
    run = registry.log_run(RUN)
    names = {item.path for item in registry._client.list_artifacts(run)}
    assert names == {"card.json", "environment.json"}


@pytest.mark.parametrize(
    ("password", "told"), [("wrong", "does not accept"), ("", "without the MLflow server's secret")]
)
def test_who_is_not_let_in_is_told_what_to_check(
    mlflow_server: MlflowServer, tmp_path: Path, password: str, told: str
) -> None:
    with pytest.raises((Unavailable, InvalidInput)) as caught:
        opened(mlflow_server.uri, tmp_path, password)
    assert told in caught.value.explain()
    assert "password_file" in caught.value.explain()
    assert "wrong" not in caught.value.explain()


def test_a_server_that_is_away_is_unavailable_within_the_time_that_is_set(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        opened("http://127.0.0.1:9", tmp_path)


def test_its_certificate_must_be_trusted(tmp_path: Path) -> None:
    missing = mlflow_process.missing()
    if missing:
        pytest.skip(f"MLflow's server needs {', '.join(missing)}")
    authority, other = Authority(tmp_path, "authority"), Authority(tmp_path, "other")
    (tmp_path / "server").mkdir()
    server = MlflowServer(tmp_path / "server", tls=authority.issue("mlflow"))
    server.start()
    try:
        with pytest.raises(Unavailable, match="not trusted") as caught:
            opened(server.uri, tmp_path, ca_file=other.path.name)
        assert "ca_file" in caught.value.explain()
        assert opened(server.uri, tmp_path, ca_file=authority.path.name).resolve("champion") is None
    finally:
        server.stop()


def test_artifacts_in_a_bucket_behind_the_server(s3: S3Server, tmp_path: Path) -> None:
    pytest.importorskip("boto3", reason="the server keeps artifacts in a bucket by boto3")
    missing = mlflow_process.missing()
    if missing:
        pytest.skip(f"MLflow's server needs {', '.join(missing)}")
    (tmp_path / "server").mkdir()
    keys = {name: text for name, text in s3.environ.items() if name.startswith("AWS_")}
    keys |= {"MLFLOW_S3_ENDPOINT_URL": s3.endpoint, "AWS_DEFAULT_REGION": "us-east-1"}
    server = MlflowServer(tmp_path / "server", artifacts="s3://grid/mlflow", environment=keys)
    server.start()
    try:
        opened(server.uri, tmp_path).log_run(RUN)
    finally:
        server.stop()
    assert {name.rpartition("/")[2] for name in s3.keys()} == {"card.json", "environment.json"}  # noqa: SIM118


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ({"username": "ann"}, "belong together"),
        ({"password_file": "x"}, "belong together"),
        ({"username": "ann", "password_file": "x", "token_file": "y"}, "two ways"),
    ],
)
def test_half_of_a_way_in_is_refused(lines: dict[str, str], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        RegistrySection(**lines)  # type: ignore[arg-type]


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    for lines in ({"token_file": "none"}, {"ca_file": "none"}, {"username": "a", "password_file": "none"}):
        with pytest.raises(Unavailable, match=r"registry\."):
            mlflow_environment(RegistrySection(**lines), tmp_path, {})  # type: ignore[arg-type]


def test_a_project_goes_on_serving_while_its_server_is_away_and_is_in_step_when_it_is_back(tmp_path: Path) -> None:
    missing = mlflow_process.missing()
    if missing:
        pytest.skip(f"MLflow's server needs {', '.join(missing)}")
    (tmp_path / "server").mkdir()
    server = MlflowServer(tmp_path / "server")
    folder = small_project(tmp_path / "grid", settings=QUICK)
    settings = folder / "recloser.toml"
    lines = (
        f'tracking_uri = "{server.uri}"\nusername = "{ADMIN}"\npassword_file = "mlflow.password"\ntimeout_seconds = 5\n'
    )
    before, _, after = settings.read_text().partition("[registry]\n")
    settings.write_text(f"{before}[registry]\n{lines}" + after.replace('kind = "folder"\n', ""))
    (folder / "mlflow.password").write_text("not yet right")
    server.start()
    assert main(["run", "--project", str(folder)]) == 3  # nobody is let in
    (folder / "mlflow.password").write_text(PASSWORD)
    assert main(["run", "--project", str(folder)]) == 0  # goes on where it stopped
    server.stop()
    assert main(["forecast", "--project", str(folder)]) == 0
    assert main(["rollback", "--project", str(folder), "--reason", "test"]) == 0
    server.start()
    try:
        with Platform.open(folder) as platform:
            route = platform.ledger.get(RouteRecord, "route")
            assert route is not None
            assert route.champion is None
            from recloser.app.loop.control_loop import ControlLoop, LoopOptions

            assert platform.registry.resolve("champion") is not None  # as it was before the rollback
            ControlLoop(platform, LoopOptions()).mirror()
            assert platform.registry.resolve("champion") is None
    finally:
        server.stop()
