"""Packages go to other hosts by the bucket: whole, once, verified before anything of them is there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from s3_server import KEY, SECRET, S3Server

from recloser.app import Platform, run_pipeline
from recloser.core import Refused, Unavailable
from recloser.ledger import ReleaseRecord

pytestmark = [pytest.mark.services, pytest.mark.slow]


@pytest.fixture
def shared(project: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose store is the bucket."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with Platform.open(project) as platform:
        panel = platform.store.read(as_of=platform.clock.now())
    with (project / "recloser.toml").open("a", encoding="utf-8") as file:
        file.write(f'\n[store]\nurl = "s3://grid/north"\nendpoint = "{s3.endpoint}"\nretry_seconds = 1.0\n')
    with Platform.open(project) as platform:
        platform.store.append(panel.frame.drop("revision", strict=False), "moved")
    return project


def other_host(project: Path, folder: Path) -> Path:
    """Return the project as another host has it: with its keys and its ledger, and no package."""
    shutil.copytree(project, folder)
    shutil.rmtree(folder / "state" / "packages")
    return folder


def test_a_release_is_fetched_by_a_host_that_lacks_it(shared: Path, s3: S3Server, tmp_path: Path) -> None:
    outcome = run_pipeline(shared, as_of=None, engine="local", progress=lambda _line: None)
    assert outcome["verdict"] == "pass", outcome["reason"]
    release = outcome["candidate"]
    put = [path for method, path, _ in s3.seen if method == "PUT" and f"packages/{release}" in path]
    assert put[-1].endswith("/signature.json")
    far = other_host(shared, tmp_path / "far")
    with Platform.open(far) as platform:
        assert platform.load(release).release == release
        assert (far / "state" / "packages" / release / "manifest.json").is_file()
        assert platform.package_share().tick() == []  # it is there already
    with Platform.open(shared) as platform:
        assert platform.package_share().tick() == []
    assert not [name for name in (far / "state" / "packages").iterdir() if name.name.startswith(".")]


def test_what_was_changed_on_the_way_is_refused_and_leaves_nothing(shared: Path, tmp_path: Path) -> None:
    release = run_pipeline(shared, as_of=None, engine="local", progress=lambda _line: None)["candidate"]
    name = f"packages/{release}/release.json"
    with Platform.open(shared) as platform:
        place = platform.places.series
        facts = json.loads(place.read(name))
        place.write(name, json.dumps(facts | {"model_kind": "another"}).encode())  # type: ignore[attr-defined]
    far = other_host(shared, tmp_path / "far")
    with Platform.open(far) as platform:
        with pytest.raises(Refused):
            platform.open_verified(release)
        assert platform.verify(release)
    assert list((far / "state" / "packages").iterdir()) == []


def test_a_bucket_that_is_away_is_unavailable_and_the_run_is_kept(shared: Path, s3: S3Server) -> None:
    with Platform.open(shared) as platform:
        s3.rule = lambda _method, path: "500" if "packages" in path else None
        said: list[str] = []
        platform.package_share().try_now(said.append)
        assert said == []  # there is no release yet
        with pytest.raises(Unavailable):
            platform.obtain("rel-000000000000")
    told: list[str] = []
    outcome = run_pipeline(shared, as_of=None, engine="local", progress=told.append)
    assert outcome["verdict"] == "pass"
    assert any("not in the bucket yet" in line for line in told)
    s3.rule = lambda _method, _path: None
    with Platform.open(shared) as platform:
        assert platform.package_share().tick() == [record.key for record in platform.ledger.find(ReleaseRecord)]
