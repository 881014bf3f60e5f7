from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recloser.app import (
    Platform,
    current_forecast,
    export_lineage,
    install_bundle,
    list_keys,
    make_bundle,
    make_dossier,
    score_package,
    verify_bundle,
    verify_dossier,
    verify_package,
    write_context,
    write_image,
)
from recloser.core import InvalidInput, Refused, Unavailable
from recloser.registry import GATE, open_package

BASE = "python@sha256:" + "0" * 64


def package(served: Path, release: str) -> Path:
    return served / "state/packages" / release


def test_the_package_of_a_run_holds_its_documents_and_verdict(served: Path, release: str) -> None:
    told = verify_package(package(served, release), folder=served, keys=None)
    assert told["ok"]
    assert told["verdict"] == "pass"
    assert told["pickles"] == []
    with Platform.open(served) as platform:
        opened = open_package(package(served, release), platform.trusted)
    names = {entry.path for entry in opened.files}
    assert {"schema.json", "card.json", "entry.json", "sbom.cdx.json", "environment/requirements.lock"} <= names
    schema = json.loads(opened.read_bytes("schema.json"))
    rows = {row["name"]: row for row in schema["inputs"]}
    golden = pl.read_ipc(package(served, release) / "golden/rows.arrow")
    assert [name for name in golden.columns if name not in rows] == []
    assert rows["temperature_c"]["minimum"] < rows["temperature_c"]["maximum"]
    assert json.loads(opened.read_bytes("card.json"))["validity"]["areas"] == ["F01", "F02"]
    said = opened.attestation(GATE)
    assert said is not None
    assert said.predicate["verdict"] == "pass"
    assert {"formats", "parity"} <= {check["name"] for check in said.predicate["checks"]}


def test_a_package_is_scored_alone(served: Path, release: str, tmp_path: Path) -> None:
    path, keys = package(served, release), served / "state/keys"
    golden = score_package(path, folder=tmp_path, keys=keys, rows=None, out=None)
    assert golden["golden"] is True
    rows, out = path / "golden/rows.arrow", tmp_path / "answers.parquet"
    told = score_package(path, folder=tmp_path, keys=keys, rows=rows, out=out)
    answers = pl.read_parquet(out)
    assert (told["rows"], answers.columns) == (answers.height, ["q10", "q50", "q90"])
    recorded = pl.read_ipc(path / "golden/answers.arrow")
    assert answers["q50"].fill_nan(None).to_list() == recorded["q1"].fill_nan(None).to_list()
    (tmp_path / "not.parquet").write_text("x")
    with pytest.raises(InvalidInput, match="cannot be read"):
        score_package(path, folder=tmp_path, keys=keys, rows=tmp_path / "not.parquet", out=None)


def test_an_image_of_a_release_holds_package_and_keys_and_is_the_same_again(
    served: Path, release: str, tmp_path: Path
) -> None:
    for name in ("one.tar", "two.tar"):
        write_image(served, release=release, out=tmp_path / name, architecture="amd64", base=None)
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as tar:
        blobs = {item.name: (tar.extractfile(item) or io.BytesIO()).read() for item in tar if item.isfile()}
    index = json.loads(blobs["index.json"])
    digest = index["manifests"][0]["digest"]
    manifest = json.loads(blobs[f"blobs/{digest.replace(':', '/')}"])
    with tarfile.open(fileobj=io.BytesIO(blobs[f"blobs/{manifest['layers'][0]['digest'].replace(':', '/')}"])) as layer:
        layer.extractall(tmp_path / "root", filter="data")
    keys = tmp_path / "root/keys"
    assert not list(keys.glob("*.pem"))  # never the private key
    told = verify_package(tmp_path / "root/release" / release, folder=tmp_path, keys=keys)
    assert told["release"] == release
    on = write_image(
        served, release=release, out=tmp_path / "on.tar", architecture="amd64", base=(tmp_path / "one.tar", digest)
    )
    assert on["image"] == f"on {digest}"
    with pytest.raises(InvalidInput, match="no such blob"):
        write_image(
            served,
            release=release,
            out=tmp_path / "x.tar",
            architecture="amd64",
            base=(tmp_path / "one.tar", "sha256:" + "1" * 64),
        )


def test_a_context_is_written_only_for_a_pinned_base(served: Path, release: str, tmp_path: Path) -> None:
    out = tmp_path / "context"
    with pytest.raises(InvalidInput, match="not pinned"):
        write_context(served, release=release, base="python:3.11", wheels=None, out=out)
    assert not out.exists()
    (tmp_path / "wheels").mkdir()
    with pytest.raises(InvalidInput, match="not exactly one wheel"):
        write_context(served, release=release, base=BASE, wheels=tmp_path / "wheels", out=out)
    lock = served / "none.lock"
    lock.write_text("")
    with pytest.raises(InvalidInput, match="unknown release"):
        write_context(served, release="rel-000000000000", base=BASE, wheels=None, out=out)


@pytest.fixture
def bundled(served: Path, tmp_path: Path) -> tuple[Path, str]:
    """A bundle of a project whose lock is empty, with a wheel of Recloser in name only; and the key that signed it."""
    (served / "empty.lock").write_text("")
    with (served / "recloser.toml").open("a") as file:
        file.write('\n[package]\nlock = "empty.lock"\n')
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels/recloser-0.1.0-py3-none-any.whl").write_bytes(b"not a wheel")
    told = make_bundle(served, out=tmp_path / "x.bundle", releases=(), wheels=tmp_path / "wheels")
    return tmp_path / "x.bundle", told["key"]


def test_a_bundle_holds_what_serves_and_never_the_private_key(
    served: Path, release: str, bundled: tuple[Path, str]
) -> None:
    file, key = bundled
    told = verify_bundle(file, keys=None, key_id=key)
    assert told["releases"] == [release]
    assert verify_bundle(file, keys=served / "state/keys", key_id=None)["signed_by"] == key
    with tarfile.open(file) as tar:
        names = tar.getnames()
    assert {"bundle.json", "README.txt", "requirements.lock", "project/recloser.toml", "docs/index.md"} <= set(names)
    assert [name for name in names if name.endswith(".pem")] == []
    with pytest.raises(InvalidInput, match="nobody is trusted"):
        verify_bundle(file, keys=None, key_id=None)
    with pytest.raises(Refused, match="no key of that id"):
        verify_bundle(file, keys=None, key_id="key-0000000000000000")


def test_installing_what_is_no_wheel_ends_with_its_reason(bundled: tuple[Path, str], tmp_path: Path) -> None:
    file, key = bundled
    with pytest.raises(Unavailable, match="pip failed"):
        install_bundle(file, into=tmp_path / "plant", keys=None, key_id=key)
    with pytest.raises(InvalidInput, match="not empty"):
        install_bundle(file, into=tmp_path / "plant", keys=None, key_id=key)


def test_a_changed_bundle_unpacks_nothing(bundled: tuple[Path, str], tmp_path: Path) -> None:
    file, key = bundled
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(Refused, match="changed"):
        install_bundle(file, into=tmp_path / "plant", keys=None, key_id=key)
    assert not (tmp_path / "plant").exists()


def test_a_dossier_of_a_real_release_is_whole_and_checked_with_public_keys_alone(
    served: Path, release: str, tmp_path: Path
) -> None:
    told = make_dossier(served, release=release, out=tmp_path / "out")
    keys = tmp_path / "public"
    keys.mkdir()
    for key in (served / "state/keys").glob("*.pub"):
        (keys / key.name).write_bytes(key.read_bytes())
    for name in (told["html"], told["json"]):
        checked = verify_dossier(Path(name), folder=tmp_path / "nowhere", keys=keys)
        assert (checked["release"], checked["signed_by"]) == (release, list_keys(served)["signs"])
    document = json.loads(Path(told["json"]).read_text())["document"]
    assert told["checks"] == len(document["checks"]) > 15
    assert all(part["blocks"] for part in document["sections"])
    assert document["sbom"]["bomFormat"] == "CycloneDX"
    page = Path(told["html"]).read_text()
    assert str(served) not in page  # no path of the machine
    with pytest.raises(InvalidInput, match="unknown release"):
        make_dossier(served, release="rel-000000000000", out=tmp_path)
    with pytest.raises(Unavailable):
        verify_dossier(tmp_path / "absent", folder=served, keys=keys)


def events(served: Path) -> list[Any]:
    return [json.loads(line) for line in (served / "state/lineage.jsonl").read_text().splitlines()]


def test_lineage_reaches_from_the_file_to_the_forecast(served: Path, release: str) -> None:
    current_forecast(served, area=None, as_of=None)
    told = export_lineage(served)
    found = events(served)
    assert told["events"] == len(found)
    assert [event["job"]["name"] for event in found] == ["ingest", "pipeline", "gate", "pipeline", "forecast"]
    made = found[3]["outputs"][0]
    assert made["name"] == f"packages/{release}"
    assert made == found[4]["inputs"][0]
    assert export_lineage(served)["events"] == 0
    assert len(events(served)) == len(found)
    with Platform.open(served) as platform:
        assert platform.ledger.verify().ok


def test_a_server_that_is_down_skips_no_event(served: Path) -> None:
    text = (served / "recloser.toml").read_text()
    (served / "recloser.toml").write_text(text + '\n[lineage]\nurl = "http://127.0.0.1:9/api/v1/lineage"\n')
    with pytest.raises(Unavailable, match="does not answer"):
        export_lineage(served)
    (served / "recloser.toml").write_text(text)
    assert export_lineage(served)["events"] == len(events(served)) == 4
