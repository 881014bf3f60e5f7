from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from recloser.core import InvalidInput
from recloser.registry.shipping.archive import first_entry, tar_bytes, write_tar
from recloser.registry.shipping.context import build_context, pinned_base
from recloser.registry.shipping.layout import ImagePlan, read_base, write_layout

FILES = {"release/rel-1/manifest.json": b"{}", "release/rel-1/model/a.txt": b"tree" * 300, "keys/a.pub": b"PEM"}
PLAN = ImagePlan("rel-1", FILES, labels={"io.recloser.digest": "ab"})
BASE = "python@sha256:" + "0" * 64


def unpacked(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {item.name: (tar.extractfile(item) or io.BytesIO()).read() for item in tar if item.isfile()}


def blob(files: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    """Return what a descriptor names, by the rules of the image specification."""
    assert set(descriptor) <= {"mediaType", "digest", "size", "annotations", "platform"}
    algorithm, hexadecimal = descriptor["digest"].split(":")
    content = files[f"blobs/{algorithm}/{hexadecimal}"]
    assert len(content) == descriptor["size"]
    assert hashlib.sha256(content).hexdigest() == hexadecimal
    return content


def check_layout(files: dict[str, bytes]) -> tuple[dict[str, Any], dict[str, Any], list[bytes]]:
    """Check an image layout structurally (image-spec 1.1) and return manifest, configuration and layers."""
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads(files["index.json"])
    assert index["schemaVersion"] == 2
    assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    (described,) = index["manifests"]
    assert described["platform"]["os"] == "linux"
    manifest = json.loads(blob(files, described))
    assert manifest["schemaVersion"] == 2
    assert manifest["mediaType"] == described["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert manifest["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json"
    config = json.loads(blob(files, manifest["config"]))
    assert {"architecture", "os", "rootfs"} <= set(config)
    layers = [blob(files, layer) for layer in manifest["layers"]]
    assert config["rootfs"]["type"] == "layers"
    diff_ids = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]  # ours are not compressed
    assert config["rootfs"]["diff_ids"] == diff_ids
    assert len([row for row in config["history"] if not row.get("empty_layer")]) == len(layers)
    assert all(isinstance(text, str) for text in manifest["annotations"].values())
    named = {"oci-layout", "index.json"} | {name for name in files if name.startswith("blobs/sha256/")}
    assert set(files) == named
    return manifest, config, layers


def test_an_image_of_files_alone_is_a_sound_layout() -> None:
    _, config, layers = check_layout(unpacked(write_layout(PLAN)))
    assert config["config"]["User"] == "65532:65532"
    assert "Entrypoint" not in config["config"]
    assert unpacked(layers[0]) == FILES
    with tarfile.open(fileobj=io.BytesIO(layers[0])) as tar:
        members = tar.getmembers()
    assert all((item.uid, item.gid, item.mtime, item.uname) == (0, 0, 0, "") for item in members)
    assert {item.mode for item in members if item.isfile()} == {0o444}
    seen: set[str] = set()
    for item in members:  # a folder stands before what lies in it
        parent = item.name.rpartition("/")[0]
        assert not parent or parent in seen
        seen.add(item.name)


def test_equal_plans_give_equal_bytes_and_another_file_another_image() -> None:
    assert write_layout(PLAN) == write_layout(ImagePlan("rel-1", dict(reversed(FILES.items())), labels=PLAN.labels))
    assert write_layout(PLAN) != write_layout(ImagePlan("rel-1", {**FILES, "keys/a.pub": b"PEN"}, labels=PLAN.labels))


def test_an_image_on_a_base_keeps_its_layers_and_environment() -> None:
    below = unpacked(write_layout(ImagePlan("base", {"bin/sh": b"#!"}, "arm64")))
    digest = json.loads(below["index.json"])["manifests"][0]["digest"]
    base = read_base(below, digest, "base.tar")
    plan = ImagePlan("rel-1", FILES, entry=("recloser", "doctor"), base=base)
    manifest, config, layers = check_layout(unpacked(write_layout(plan)))
    assert len(layers) == 2
    assert unpacked(layers[0]) == {"bin/sh": b"#!"}
    assert config["architecture"] == "arm64"
    assert config["config"]["Entrypoint"] == ["recloser", "doctor"]
    assert manifest["layers"][0] == base.manifest["layers"][0]


def test_a_base_that_is_not_what_its_digest_says_is_refused() -> None:
    below = unpacked(write_layout(ImagePlan("base", {"bin/sh": b"#!"})))
    digest = json.loads(below["index.json"])["manifests"][0]["digest"]
    with pytest.raises(InvalidInput, match="no such blob"):
        read_base(below, "sha256:" + "0" * 64, "base.tar")
    name = f"blobs/{digest.replace(':', '/')}"
    with pytest.raises(InvalidInput, match="not what its digest says"):
        read_base({**below, name: below[name] + b" "}, digest, "base.tar")
    config = json.loads(below[name])["config"]["digest"]
    with pytest.raises(InvalidInput, match="not that of an image manifest"):
        read_base(below, config, "base.tar")


def test_the_context_is_pinned_unprivileged_and_checked() -> None:
    package = {"environment/requirements.lock": b"a==1 --hash=sha256:0\n", "manifest.json": b"{}"}
    files = build_context(("rel-1", "ab"), BASE, package, {"a.pub": b"PEM"}, ("recloser-1-py3-none-any.whl", True))
    dockerfile = files["Dockerfile"].decode()
    lines = [line for line in dockerfile.splitlines() if line and not line.startswith("#")]
    assert [line.split()[1] for line in lines if line.startswith("FROM")] == [BASE, BASE]
    words = [line.split()[0] for line in lines]
    assert words.index("USER") < words.index("ENTRYPOINT")
    assert "USER 65532:65532" in lines
    assert "HEALTHCHECK" in words
    assert "--require-hashes" in dockerfile
    assert "PIP_NO_INDEX=1" in dockerfile
    assert '"package", "verify", "/release/rel-1"' in dockerfile
    sources = {line.split()[1] for line in lines if line.startswith("COPY") and "--from" not in line}
    assert sources == {"wheels/", "requirements.lock", "keys/", "release/"}
    assert {name.split("/")[0] for name in files} >= {"release", "keys", "requirements.lock", ".dockerignore"}
    assert files["requirements.lock"] == package["environment/requirements.lock"]
    compose = files["compose.yaml"].decode()
    assert "read_only: true" in compose
    assert 'cap_drop: ["ALL"]' in compose
    with pytest.raises(InvalidInput, match="no lock"):
        build_context(("rel-1", "ab"), BASE, {"manifest.json": b"{}"}, {}, ("recloser-1-py3-none-any.whl", True))
    online = build_context(("rel-1", "ab"), BASE, package, {}, ("recloser-1-py3-none-any.whl", False))
    assert "PIP_NO_INDEX" not in online["Dockerfile"].decode()


@pytest.mark.parametrize(
    "name", ["python:3.11", "python", "python@sha256:abc", "python@sha256:" + "g" * 64, "a\nb@sha256:" + "0" * 64]
)
def test_a_base_without_its_digest_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="not pinned"):
        pinned_base(name)


def test_a_file_on_disk_and_its_bytes_make_the_same_archive(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 700)
    one, two = io.BytesIO(), io.BytesIO()
    write_tar(one, {"a": tmp_path / "a", "b": b""})
    write_tar(two, {"a": b"x" * 700, "b": b""})
    assert one.getvalue() == two.getvalue()
    assert one.getvalue().startswith(first_entry("a", b"x" * 700))
    assert len(first_entry("a", b"x" * 700)) == 512 + 1024
    assert len(first_entry("a", b"x" * 512)) == len(first_entry("a", b"x")) == 1024
    assert tar_bytes({"a": b"1"}) == tar_bytes({"a": b"1"})
