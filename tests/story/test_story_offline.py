"""A bundle with every wheel, installed and asked for numbers in a namespace that has no network at all.

Needs the wheels of the lock in `build/wheels` (`make wheels` fetches them) and the right to make a network namespace.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from recloser.app import install_bundle, list_keys, make_bundle, run_pipeline, write_context
from recloser.core import InvalidInput
from recloser.registry.content.lock import load_lock, shipped_lock
from recloser.registry.shipping.wheelhouse import chosen_wheels, own_wheel
from recloser.testing import small_project

pytestmark = [pytest.mark.story, pytest.mark.slow]

WHEELS = Path(__file__).parents[2] / "build" / "wheels"
ALONE = ["unshare", "--user", "--map-root-user", "--net"]


def ready() -> str:
    """Return why this cannot be shown here; empty if it can."""
    lock = shipped_lock()
    if shutil.which("unshare") is None or subprocess.run([*ALONE, "true"], check=False).returncode:
        return "no right to make a network namespace"
    if lock is None or not WHEELS.is_dir():
        return "no wheels in build/wheels: run `make wheels`"
    try:
        chosen_wheels(load_lock(lock), WHEELS)
    except InvalidInput as error:
        return error.explain()
    return ""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str, str]:
    """A served project, its bundle, the key to trust and the release; skipped where it cannot be shown."""
    why = ready()
    if why:
        pytest.skip(why)
    base = tmp_path_factory.mktemp("offline")
    project = small_project(base / "grid")
    release = run_pipeline(project, as_of=None, engine="local", progress=lambda _line: None)["candidate"]
    wheels = base / "wheels"
    wheels.mkdir()
    for wheel in WHEELS.glob("*.whl"):
        if not wheel.name.startswith("recloser-"):
            (wheels / wheel.name).symlink_to(wheel)
    own_wheel(wheels)  # of the source as it is now
    make_bundle(project, out=base / "x.bundle", releases=(), wheels=wheels)
    return project, base / "x.bundle", list_keys(project)["signs"], release


def alone(*words: str) -> Any:
    """Run a program without any network and return its JSON document."""
    done = subprocess.run([*ALONE, *words, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_namespace_without_network_has_none(made: tuple[Path, Path, str, str]) -> None:
    """The proof is worth what the namespace is: a listener of this process cannot be reached from inside."""
    del made
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        code = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 2)"
        assert subprocess.run([sys.executable, "-c", code, port], check=False).returncode == 0
        inside = subprocess.run([*ALONE, sys.executable, "-c", code, port], capture_output=True, check=False)
    assert b"OSError" in inside.stderr or b"refused" in inside.stderr or b"unreachable" in inside.stderr


def test_a_bundle_installs_and_forecasts_without_network(made: tuple[Path, Path, str, str], tmp_path: Path) -> None:
    project, bundle, key, release = made
    into = tmp_path / "plant"
    words = [sys.executable, "-c", "from recloser.cli.main import run; run()", "bundle", "install", str(bundle)]
    told = alone(*words, "--into", str(into), "--key-id", key)
    assert told["proved"] == [{"release": release, "golden": True, "reason": told["proved"][0]["reason"]}]
    program = told["program"]
    assert Path(program).is_relative_to(into)
    doctor = alone(program, "doctor", "--project", str(project))
    assert doctor["ok"]
    forecast = alone(program, "forecast", "--project", str(project))
    assert all(row["points"] for row in forecast["areas"].values())
    assert (into / "docs/index.md").is_file()


def test_a_context_with_all_wheels_needs_no_network(made: tuple[Path, Path, str, str], tmp_path: Path) -> None:
    project, bundle, _, release = made
    base = "python@sha256:" + "0" * 64
    told = write_context(project, release=release, base=base, wheels=bundle.parent / "wheels", out=tmp_path / "image")
    assert told["offline"]
    assert "PIP_NO_INDEX=1" in (tmp_path / "image/Dockerfile").read_text()
    assert len(list((tmp_path / "image/wheels").iterdir())) == len(list((bundle.parent / "wheels").iterdir()))


def test_installing_into_a_folder_that_is_not_empty_is_refused(made: tuple[Path, Path, str, str]) -> None:
    _, bundle, key, _ = made
    with pytest.raises(InvalidInput, match="not empty"):
        install_bundle(bundle, into=bundle.parent, keys=None, key_id=key)
