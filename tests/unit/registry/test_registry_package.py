from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recloser.core import InvalidInput, RecloserError, Refused, Unavailable, canonical_json, digest_bytes
from recloser.registry import FileEntry, Golden, Package, PackageFacts, Signer, build_package, create_key, open_package
from recloser.registry.manifest import FORMAT, MANIFEST, SIGNATURE, safe_path, write_manifest, write_signature


def test_an_opened_package_is_what_was_built(
    package: Package, signer: Signer, facts_of: Callable[..., PackageFacts]
) -> None:
    opened = open_package(package.path, [signer.public_key])
    assert opened == package
    assert opened.facts.to_dict()["feature_set"] == facts_of().to_dict()["feature_set"]
    assert opened.facts.to_bytes() == facts_of().to_bytes()
    assert opened.path.name == opened.release == f"rel-{opened.digest[:12]}"
    assert opened.read_bytes("model/parts/deep/trees.txt").startswith(b"tree\n")
    assert (opened.model_folder / "model.json").exists()


def test_same_inputs_give_the_same_bytes(
    tmp_path: Path, package: Package, model_folder: Path, signer: Signer, golden: Golden, facts_of: Callable
) -> None:
    again = build_package(tmp_path / "elsewhere", model_folder, facts_of(), signer, golden)
    assert again.digest == package.digest
    names = sorted(p.relative_to(package.path) for p in package.path.rglob("*") if p.is_file())
    assert names == sorted(p.relative_to(again.path) for p in again.path.rglob("*") if p.is_file())
    for name in names:
        assert (package.path / name).read_bytes() == (again.path / name).read_bytes()


def test_building_again_returns_what_is_there_and_leaves_no_traces(
    package: Package, model_folder: Path, signer: Signer, golden: Golden, facts_of: Callable
) -> None:
    before = package.path.stat().st_ino
    again = build_package(package.path.parent, model_folder, facts_of(), signer, golden)
    assert again == package
    assert package.path.stat().st_ino == before
    other = build_package(package.path.parent, model_folder, facts_of(model_kind="other"), signer, golden)
    assert other.digest != package.digest
    assert {p.name for p in package.path.parent.iterdir()} == {package.release, other.release, ".lock"}


def test_another_key_signs_the_same_digest(
    tmp_path: Path, package: Package, model_folder: Path, golden: Golden, facts_of: Callable
) -> None:
    other = create_key(tmp_path / "other.pem")
    built = build_package(tmp_path / "elsewhere", model_folder, facts_of(), other, golden)
    assert built.digest == package.digest
    with pytest.raises(Refused, match="not trusted"):
        open_package(package.path, [other.public_key])
    with pytest.raises(Refused, match="not trusted"):
        open_package(package.path, [])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_of_any_file_is_refused(writable: Path, signer: Signer, data: st.DataObject) -> None:
    files = sorted(p for p in writable.rglob("*") if p.is_file())
    file = data.draw(st.sampled_from(files))
    content = file.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != content[at]))
    file.write_bytes(content[:at] + bytes([byte]) + content[at + 1 :])
    try:
        with pytest.raises(Refused) as caught:
            open_package(writable, [signer.public_key])
        assert caught.value.where
        if file.name not in {MANIFEST, SIGNATURE}:
            assert caught.value.where == str(file)
    finally:
        file.write_bytes(content)
    open_package(writable, [signer.public_key])


def test_bytes_of_manifest_and_signature_count(writable: Path, signer: Signer) -> None:
    for name, flips in ((MANIFEST, [0x01]), (SIGNATURE, [0x01, 0x20])):
        file = writable / name
        content = file.read_bytes()
        for at in range(0, len(content), 3 if name == MANIFEST else 1):
            for flip in flips:
                changed = bytearray(content)
                changed[at] ^= flip
                file.write_bytes(bytes(changed))
                with pytest.raises(Refused):
                    open_package(writable, [signer.public_key])
        file.write_bytes(content)


def _append(path: Path) -> None:
    (path / "model/model.json").write_bytes((path / "model/model.json").read_bytes() + b" ")


def _truncate(path: Path) -> None:
    (path / "release.json").write_bytes(b"")


def _add(path: Path) -> None:
    (path / "model" / "evil.py").write_text("import os")


def _add_hidden(path: Path) -> None:
    (path / ".hidden").write_text("x")


def _add_folder(path: Path) -> None:
    (path / "model" / "empty").mkdir()


def _remove(path: Path) -> None:
    (path / "golden/rows.arrow").unlink()


def _remove_signature(path: Path) -> None:
    (path / SIGNATURE).unlink()


def _rename_inside(path: Path) -> None:
    (path / "model/model.json").rename(path / "model/model2.json")


def _link(path: Path) -> None:
    target = path.parent / "model.json"
    target.write_bytes((path / "model/model.json").read_bytes())
    (path / "model/model.json").unlink()
    (path / "model/model.json").symlink_to(target)


def _link_folder(path: Path) -> None:
    (path / "model/parts").rename(path.parent / "parts")
    (path / "model/parts").symlink_to(path.parent / "parts")


def _link_manifest(path: Path) -> None:
    (path / MANIFEST).rename(path.parent / MANIFEST)
    (path / MANIFEST).symlink_to(path.parent / MANIFEST)


def _pipe(path: Path) -> None:
    (path / "model/model.json").unlink()
    os.mkfifo(path / "model/model.json")


def _pipe_manifest(path: Path) -> None:
    (path / MANIFEST).unlink()
    os.mkfifo(path / MANIFEST)


def _socket(path: Path) -> None:
    (path / "release.json").unlink()
    here = Path.cwd()
    os.chdir(path)  # socket names are short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("release.json")
    finally:
        os.chdir(here)


@pytest.mark.parametrize(
    ("change", "what", "where"),
    [
        (_append, "changed file", "model/model.json"),
        (_truncate, "changed file", "release.json"),
        (_add, "does not list", "model/evil.py"),
        (_add_hidden, "does not list", ".hidden"),
        (_add_folder, "empty folder", "model/empty"),
        (_remove, "missing", "golden/rows.arrow"),
        (_remove_signature, "missing", SIGNATURE),
        (_rename_inside, "does not list", "model/model2.json"),
        (_link, "symbolic link", "model/model.json"),
        (_link_folder, "symbolic link", "model/parts"),
        (_link_manifest, "symbolic link", MANIFEST),
        (_pipe, "not a regular file", "model/model.json"),
        (_pipe_manifest, "not a regular file", MANIFEST),
        (_socket, "not a regular file", "release.json"),
    ],
)
def test_tampering_is_refused_by_what_and_where(
    writable: Path, signer: Signer, change: Callable[[Path], None], what: str, where: str
) -> None:
    change(writable)
    with pytest.raises(Refused) as caught:
        open_package(writable, [signer.public_key])
    assert what in caught.value.what
    assert caught.value.where == str(writable / where)


def test_a_renamed_or_linked_folder_is_refused(writable: Path, signer: Signer) -> None:
    link = writable.parent / "champion"
    link.symlink_to(writable)
    with pytest.raises(Refused, match="plain folder"):
        open_package(link, [signer.public_key])
    renamed = writable.rename(writable.parent / "rel-000000000000")
    with pytest.raises(Refused, match="renamed"):
        open_package(renamed, [signer.public_key])
    with pytest.raises(Unavailable):
        open_package(writable, [signer.public_key])


def test_a_file_changed_after_opening_is_refused_at_reading(package: Package, writable: Path) -> None:
    (writable / "model/model.json").write_text('{"kind":"python!"}')
    with pytest.raises(Refused, match="changed"):
        package.read_bytes("model/model.json")
    with pytest.raises(Refused, match="no such file"):
        package.read_bytes("../outside")


EVIL = [
    [{"path": "../outside", "sha256": "0" * 64, "size": 1}],
    [{"path": "/etc/passwd", "sha256": "0" * 64, "size": 1}],
    [{"path": "model/../../outside", "sha256": "0" * 64, "size": 1}],
    [{"path": "model//x", "sha256": "0" * 64, "size": 1}],
    [{"path": "", "sha256": "0" * 64, "size": 1}],
    [{"path": "a\u0000b", "sha256": "0" * 64, "size": 1}],
    [{"path": MANIFEST, "sha256": "0" * 64, "size": 1}],
    [{"path": "x", "sha256": "0" * 63, "size": 1}],
    [{"path": "x", "sha256": "0" * 64, "size": -1}],
    [{"path": "x", "sha256": "0" * 64, "size": True}],
    [{"path": "x", "sha256": "0" * 64}],
    [{"path": "b", "sha256": "0" * 64, "size": 1}, {"path": "a", "sha256": "0" * 64, "size": 1}],
    [{"path": "a", "sha256": "0" * 64, "size": 1}, {"path": "a", "sha256": "0" * 64, "size": 1}],
    ["x"],
    {},
]


@pytest.mark.parametrize("files", EVIL)
def test_a_signed_manifest_with_an_evil_entry_is_refused(writable: Path, signer: Signer, files: object) -> None:
    manifest = canonical_json({"format": FORMAT, "files": files})
    (writable / MANIFEST).write_bytes(manifest)
    (writable / SIGNATURE).write_bytes(write_signature(manifest, signer))
    (writable.parent.parent / "outside").write_bytes(b"x")
    renamed = writable.rename(writable.parent / f"rel-{digest_bytes(manifest)[:12]}")
    with pytest.raises(Refused) as caught:
        open_package(renamed, [signer.public_key])
    assert caught.value.where == str(renamed / MANIFEST)


def test_a_signature_over_something_else_never_fits(writable: Path, signer: Signer) -> None:
    manifest = (writable / MANIFEST).read_bytes()
    bare = canonical_json({"algorithm": "ed25519", "key": signer.public_key.key_id, "signature": signer.sign(manifest)})
    (writable / SIGNATURE).write_bytes(bare)
    with pytest.raises(Refused, match="does not fit"):
        open_package(writable, [signer.public_key])


@given(st.text(max_size=40))
def test_safe_paths_never_leave_the_folder(path: str) -> None:
    if safe_path(path):
        assert not Path(path).is_absolute()
        assert ".." not in path.split("/")
        assert os.path.normpath(path) == path


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.builds(FileEntry, TEXT, TEXT, st.integers()), max_size=5), st.randoms())
def test_the_manifest_does_not_depend_on_the_order(entries: list[FileEntry], rng: object) -> None:
    unique = list({e.path: e for e in entries}.values())
    shuffled = list(unique)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert write_manifest(unique) == write_manifest(shuffled)


def test_bad_model_folders_are_refused_before_anything_is_written(
    tmp_path: Path, signer: Signer, golden: Golden, facts_of: Callable
) -> None:
    packages = tmp_path / "packages"
    empty = tmp_path / "empty"
    empty.mkdir()
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "secret").symlink_to("/etc/hostname")
    odd = tmp_path / "odd"
    odd.mkdir()
    (odd / ".env").write_text("x")
    for folder in (empty, linked, odd):
        with pytest.raises(InvalidInput):
            build_package(packages, folder, facts_of(), signer, golden)
    with pytest.raises(RecloserError):
        build_package(packages, tmp_path / "absent", facts_of(), signer, golden)
    assert not packages.exists()


def test_an_unwritable_place_is_unavailable(
    tmp_path: Path, model_folder: Path, signer: Signer, golden: Golden, facts_of: Callable
) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(Unavailable):
        build_package(tmp_path / "file" / "packages", model_folder, facts_of(), signer, golden)
